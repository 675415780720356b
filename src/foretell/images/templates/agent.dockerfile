# The agent: its own interpreter, libraries and C library. It shares nothing with the model's requirements.
FROM $agent_base AS foretell-agent
COPY .foretell/agent /opt/foretell/stage
RUN $index${mount_cache}$set_index python /opt/foretell/stage/assemble.py /assembled /opt/foretell/agent
