"""Google's services by their REST interfaces; loaded by what needs them alone."""
