# gameday for those without Linux of their own. How to use it, and what must outlive it: docs/how-to/run-in-docker.md.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY gameday ./gameday
COPY experiments ./experiments
COPY probes ./probes
COPY runbooks ./runbooks
COPY reports/templates ./reports/templates
# A wheel, and that alone: the name on PyPI belongs to another project.
RUN pip wheel --no-cache-dir --wheel-dir /wheels . \
    && python -m venv /opt/gameday \
    && /opt/gameday/bin/pip install --no-cache-dir --no-index --find-links /wheels gameday

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="gameday" \
      org.opencontainers.image.description="Proves under fire that a system and its people do what the runbooks promise." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 gameday \
    && useradd --uid 10001 --gid 10001 --create-home gameday \
    && install --directory --owner=10001 --group=10001 /state /project
COPY --from=build /opt/gameday /opt/gameday
ENV PATH=/opt/gameday/bin:$PATH \
    GAMEDAY_STATE_DIR=/state
# Without what is in it, `gameday recover` knows of nothing: give it a name.
VOLUME ["/state"]
WORKDIR /project
USER 10001:10001
ENTRYPOINT ["gameday"]
CMD ["--help"]
