# langfuse-bridge as an image. Built and tried without a Docker engine by config/build-image.sh.
#
#   docker build --tag langfuse-bridge .
#
# BASE   Python 3.11 or newer on Debian or another glibc, with `venv`. The same for both stages, so
#        that the environment made in the first one finds its interpreter in the second. Pinned by
#        digest; renew it for the base's security updates:
#        docker buildx imagetools inspect docker.io/library/python:3.13-slim-bookworm
# wheels/  beside this file, if there: packages that are then not asked of an index. With
#        PIP_NO_INDEX=1 nothing else is asked for.
ARG BASE=docker.io/library/python:3.13-slim-bookworm@sha256:01f42367a0a94ad4bc17111776fd66e3500c1d87c15bbd6055b7371d39c124fb

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_FIND_LINKS=/src/packages
WORKDIR /src
# A pattern that matches nothing is no error as long as another source of the same COPY is there.
COPY LICENSE wheel[s] packages/
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
# pip stays behind: the environment of the second stage has the bridge and what it needs, no more.
RUN python3 -m venv /tools \
 && /tools/bin/pip wheel --wheel-dir /wheels . \
 && python3 -m venv --without-pip /opt/langfuse-bridge \
 && /tools/bin/pip --python /opt/langfuse-bridge/bin/python install \
    --no-index --find-links /wheels langfuse-bridge

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="langfuse-bridge" \
      org.opencontainers.image.description="Turns the OpenTelemetry of coding agents into Langfuse traces" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The number is fixed: whoever mounts a volume or a secret has to know it.
RUN groupadd --gid 10001 bridge \
 && useradd --uid 10001 --gid bridge --no-create-home --home-dir /var/lib/langfuse-bridge \
    --shell /usr/sbin/nologin bridge \
 && install --directory --owner=bridge --group=bridge --mode=0700 /var/lib/langfuse-bridge
COPY --from=build /opt/langfuse-bridge /opt/langfuse-bridge
# 0.0.0.0, since a container's published port never leads to its loopback address. Without tokens
# the bridge then refuses to start; BRIDGE_INSECURE_BIND=true is for whoever starts it to say.
# SQLite's own temporary files go into the volume: with a read-only root there is no other place.
ENV PATH=/opt/langfuse-bridge/bin:$PATH \
    BRIDGE_HOST=0.0.0.0 \
    BRIDGE_DATA_DIR=/var/lib/langfuse-bridge \
    BRIDGE_LOG_FORMAT=json \
    SQLITE_TMPDIR=/var/lib/langfuse-bridge \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/langfuse-bridge
VOLUME /var/lib/langfuse-bridge
USER 10001:10001
EXPOSE 4318 4317
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 \
  CMD ["langfuse-bridge", "health"]
ENTRYPOINT ["langfuse-bridge"]
CMD ["run"]
