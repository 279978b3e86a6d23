# Two ways to the same image:
#
#   --target source   builds the page with Node and the program with Rust (default)
#   --target binary   takes a ready target/release/rollcast, as `make build` leaves it
#
# Every base is a build argument, so that a mirror, another distribution or a
# base made on the spot can stand in. The stages of `binary` come first: a
# builder that does not skip unused stages then never asks for Rust or Node.

ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG NODE_IMAGE=docker.io/library/node:20-bookworm

# What both have in common. The base needs glibc, libgcc, CA certificates and
# time zones, and nothing else: there is no shell and nothing is written.
FROM ${BASE_IMAGE} AS base
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="rollcast" \
      org.opencontainers.image.description="Streams the logs and the rollout progress of Kubernetes workloads to many clients as Server-Sent Events" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# By number: Kubernetes cannot see that a named user is not root.
USER 65532:65532
WORKDIR /
# 8080: people, curl and the page. 9090: probes and metrics.
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/rollcast"]
CMD ["serve"]

FROM base AS binary
COPY --chmod=0755 target/release/rollcast /usr/local/bin/rollcast

FROM ${NODE_IMAGE} AS page
WORKDIR /src/web
# Dependencies first: they change less often than the page.
COPY web/package.json web/package-lock.json ./
RUN npm ci
COPY web/ ./
RUN npm run build

FROM ${RUST_IMAGE} AS program
WORKDIR /src
COPY Cargo.toml Cargo.lock README.md ./
COPY src/ src/
# Embedded into the program at compile time.
COPY --from=page /src/web/dist/ web/dist/
RUN cargo build --release --locked --bin rollcast

FROM base AS source
COPY --from=program --chmod=0755 /src/target/release/rollcast /usr/local/bin/rollcast
