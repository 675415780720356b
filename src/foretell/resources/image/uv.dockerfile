# What installs the model's requirements. It stays out of the image.
FROM $agent_base AS foretell-uv
RUN $index$set_index python -m pip install --quiet --no-compile --root-user-action ignore --target /opt/foretell/uv uv==$uv
