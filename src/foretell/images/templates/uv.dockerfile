# What installs the model's requirements: the uv that needs no C library, so that it runs on any base. It stays out of the image.
FROM $agent_base AS foretell-uv
RUN $index$set_index python -m pip install --quiet --no-compile --root-user-action ignore --target /opt/foretell/uv \
      --only-binary :all: --platform musllinux_1_1_$$(uname -m) uv==$uv
