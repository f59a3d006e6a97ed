# syntax=docker/dockerfile:1
# The daemon against a Postgres of yours: SCOFFABLE_SYNC__DATABASE__URL or a mounted scoffable-sync.toml says where it is. The embedded
# Postgres is for one machine, not for a container, and is not in this image.
FROM rust:1-slim-bookworm AS build
# ring compiles a few C files.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin scoffable-sync \
    && objcopy --strip-debug target/release/scoffable-sync /scoffable-sync

# Same glibc as the build. Certificates for HTTPS are the only thing the daemon needs beside itself.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin scoffable-sync
COPY --from=build /scoffable-sync /usr/local/bin/scoffable-sync
# As in the systemd unit: one heap, big buffers given back.
ENV MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072
USER 10001:10001
# Health, metrics and page stay on loopback until the configuration says otherwise.
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["scoffable-sync", "status", "--live"]
ENTRYPOINT ["scoffable-sync"]
CMD ["run"]
