# The commands of this project. `make help` lists them; each does its own set-up.

SHELL := /bin/bash
.DEFAULT_GOAL := help
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help demo build page test test-all e2e seeds soak fuzz bench cluster cluster-down manifests clean

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: build ## The service before a simulated shop, on http://127.0.0.1:8080
	@target/release/rollcast demo $(ARGS)

build: page ## The whole program, page included, as target/release/rollcast
	@tests/setup build
	cargo build --release --locked
	@mkdir -p target/release
	@[ "$(TARGET)" = target ] || cp -f "$(TARGET)/release/rollcast" target/release/rollcast

page: web/dist/index.html ## The page, as web/dist

web/dist/index.html: $(shell find web/src web/index.html web/package-lock.json web/vite.config.ts 2>/dev/null)
	@tests/setup page
	cd web && npm ci --no-audit --no-fund && npm run build
	@touch $@

test: ## Everything once: format, lints, units, integration, page, chart, image, real cluster
	@tests/run

test-all: ## The same with the long matrices; its table goes to docs/test-all.md
	@tests/run --all

e2e: build ## Only the suite on the real cluster
	@tests/e2e/run

seeds: ## Random stories with paused time, any number: SEEDS=10000 [FROM=0]
	ROLLCAST_TEST_STORIES=$(or $(SEEDS),1000) ROLLCAST_TEST_STORIES_FROM=$(or $(FROM),0) \
		cargo test --locked --test it random_stories -- --nocapture

soak: ## The program under random faults: MINUTES=10 [SEED=1]
	MINUTES=$(or $(MINUTES),2) SEED=$(or $(SEED),1) cargo test --locked --test soak -- --nocapture

fuzz: ## A fuzz target for a while (needs cargo-fuzz and nightly): TARGET_NAME=reading [SECONDS=60]
	cd fuzz && cargo +nightly fuzz run $(or $(TARGET_NAME),reading) -- -max_total_time=$(or $(SECONDS),60)

bench: ## Figures beside peers and a floor program, in one table
	@bench/run

cluster: ## A real Kubernetes of two nodes on this machine; prints how to use it
	@tests/e2e/cluster/up

cluster-down: ## Ends it and leaves nothing behind
	@tests/e2e/cluster/down

manifests: ## Renders manifests/ from the chart
	@manifests/render

clean: ## Removes what was built here; the cache in ~/.cache/rollcast stays
	rm -rf target web/dist web/node_modules web/test-results
