# The classification service, `classify serve`, as a small image:
#
#   docker build -t classify .
#   docker compose -f docker-compose.cluster.yml --profile service up -d --wait
#
# Needs no BuildKit. Only what `.dockerignore` lets through is sent to the engine: no `.env`, no data.

FROM docker.io/library/debian:trixie-slim AS base
# Certificates for the providers' APIs, curl for health checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
COPY LICENSE THIRD-PARTY-NOTICES.txt /usr/share/doc/classify/
# Nobody in particular, by number, so that Kubernetes can tell it is not root.
USER 65532:65532
EXPOSE 9080
# The service drains: it takes nothing new, finishes what it has begun and ends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["classify"]
# The nodes must reach it. Restate's services have no authentication of their own: publish this port to nobody else.
CMD ["serve", "--bind", "0.0.0.0:9080"]

FROM docker.io/library/rust:1.95.0-slim-trixie AS build
WORKDIR /src
# The dependencies are a layer of their own, built for an empty program: only another Cargo.lock builds them again.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs \
    && cargo build --profile dist --locked \
    && rm -r src
COPY . .
# Cargo goes by times: the sources may be older than the empty program.
RUN touch src/main.rs src/lib.rs && cargo build --profile dist --locked

FROM base
COPY --from=build /src/target/dist/classify /usr/local/bin/classify
