"""The service as an image: recipe, context, build, push, and the lock that says what runs."""
