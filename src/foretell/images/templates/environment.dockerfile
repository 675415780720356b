# The model's requirements, installed by its own Python.
FROM foretell-base AS foretell-environment
COPY --from=foretell-uv /opt/foretell/uv/bin/uv /usr/local/bin/uv
$copies
WORKDIR /opt/foretell/service
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1$strategy
RUN $index${mount_cache}$set_index $install
