# The service: what changes least comes first, the source and configs last.
FROM foretell-base
$environment
COPY --from=foretell-agent /assembled/ /
COPY .foretell/service /opt/foretell/service
WORKDIR /opt/foretell/service
USER $user
ENTRYPOINT $entrypoint
CMD []
$labels
