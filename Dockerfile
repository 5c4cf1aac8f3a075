# The image of loglake: docker build -t loglake .
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends protobuf-compiler \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin loglake \
 && cp target/release/loglake /loglake

FROM debian:bookworm-slim
# curl is for the health check.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home --home-dir /var/lib/loglake loglake
COPY --from=build /loglake /usr/local/bin/loglake
USER loglake
WORKDIR /var/lib/loglake
EXPOSE 9400 9401
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=6 \
  CMD curl -fsS -o /dev/null -H "Authorization: Bearer $LOGLAKE_TOKEN" http://127.0.0.1:9400/ready
ENTRYPOINT ["loglake"]
CMD ["serve", "--data", "/var/lib/loglake/data"]
