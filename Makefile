# `make` alone lists the targets. All state is under .run, all that is fetched under .tools, all that is built under target.

SHELL := /bin/sh
STACK := target/debug/stack
# succeeds where containers can be run, and where they were
DOCKER := docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
IN_COMPOSE := [ -e .env ] && $(DOCKER)
# what `make logs` shows of compose: Mailhog alone logs each line of each mail
OURS := seeder $(shell infra/agents) simulator

# `make demo` listens to DEMO_ONCE=1 (ends after one fault, with failure if anything is missing), DEMO_SCENARIO=memory-leak,
# DEMO_REPLICAS=2 (copies of each agent) and DEMO_SEED=7.

# Copies of each agent for `make start`.
REPLICAS ?= 1
# Seeds for `make oracle`, each about a minute and a half.
SEEDS ?= 20
FIRST_SEED ?= 1
# How long `make fuzz` searches.
SECONDS ?= 30

.DEFAULT_GOAL := help
.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## One fault from outbreak to postmortem: in containers where Docker runs, natively elsewhere
	@if $(DOCKER); then infra/compose/demo; else infra/demo.sh; fi

.PHONY: demo-native
demo-native: ## The same, natively in any case
	@infra/demo.sh

.PHONY: demo-matrix
demo-matrix: build-demo ## The demo for 7 scenarios x 5 seeds, and x 2 with all cores busy; figures in target/demo/summary.json
	@$(STACK) demo-matrix

.PHONY: demo-endings
demo-endings: build-demo ## Gets in the demo's way (Ctrl-C, a second one, no disk, no network, ...): one clear line, nothing left
	@tests/demo/endings.sh

# An engine of its own, and stand-ins for images that cannot be pulled; see tests/compose/README.md.
.PHONY: demo-compose-check
demo-compose-check: ## Builds the images, plays a fault in containers with copies, kills and restarts, and leaves nothing behind
	@tests/compose/check

.PHONY: start
start: build-demo ## Starts everything natively in the background (REPLICAS=2 for two copies of each agent)
	@$(STACK) start --replicas $(REPLICAS)

.PHONY: stop
stop: ## Ends what `start` and `demo` started
	@if [ -x $(STACK) ]; then $(STACK) stop; fi
	@if $(IN_COMPOSE); then docker compose down; fi

.PHONY: clean
clean: ## Ends it and removes its state
	@if [ -x $(STACK) ]; then $(STACK) clean; else rm -rf .run; fi
	@if $(IN_COMPOSE); then docker compose down --volumes; fi

.PHONY: logs
logs: ## Shows the logs and follows them; in containers those of our programs
	@if [ ! -e .run/stack.json ] && $(IN_COMPOSE); then docker compose logs --tail 20 --follow $(OURS); else $(STACK) logs; fi

.PHONY: status
status: ## Tells what runs and whether it is ready
	@if [ ! -e .run/stack.json ] && $(IN_COMPOSE); then docker compose ps; else $(STACK) status; fi

.PHONY: seed
seed: build-demo ## Indexes the knowledge base again
	@$(STACK) seed

.PHONY: build
build: install ## Builds every binary
	@infra/build.sh --workspace --bins

.PHONY: build-demo
build-demo: install
	@infra/build.sh demo

.PHONY: test
test: build failpoints ## Runs all tests over real parts
	@$(STACK) run -- cargo test --workspace
	@$(STACK) demo-matrix --seeds 1 --busy-seeds 0 --scenario bad-deployment

.PHONY: test-long
test-long: build ## Runs the tests that `test` leaves out: all scenarios with two copies, receivers that fail for five minutes, 100,000 series, a million old rows
	@$(STACK) run -- cargo test -p tests --test it -- --ignored
	@$(STACK) run -- cargo test --release -p detection --test it -- --ignored sections
	@$(STACK) run -- cargo test -p shared --test it -- --ignored --nocapture retention

# The same libraries, and binaries of their own: what `build` made stays free of failpoints.
.PHONY: failpoints
failpoints: install
	@CARGO_BUILD_BUILD_DIR=$(CURDIR)/target CARGO_TARGET_DIR=$(CURDIR)/target/oracle CARGO_INCREMENTAL=0 \
		cargo build --workspace --bins --features shared/failpoints

.PHONY: oracle
oracle: failpoints ## Kills agents at every moment and checks that each step had one effect (SEEDS=20 FIRST_SEED=1)
	@target/oracle/debug/oracle --seeds $(SEEDS) --first-seed $(FIRST_SEED)

.PHONY: oracle-gateway
oracle-gateway: failpoints ## Kills the gateway and Kafka while producers send and checks that no acknowledged point is lost (SEEDS=20 FIRST_SEED=1)
	@target/oracle/debug/gateway-oracle --seeds $(SEEDS) --first-seed $(FIRST_SEED)

.PHONY: oracle-mutants
oracle-mutants: failpoints ## Breaks one guarantee at a time; succeeds if the oracle catches each within ten seeds
	@target/oracle/debug/oracle --mutants --seeds 10 --first-seed $(FIRST_SEED) --out target/mutants

.PHONY: check
check: ## Checks format, lints, dependencies, documentation and, for 30 s, parsers
	@infra/install.sh --check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	@tools=$$(infra/tools/install.sh) && PATH="$$tools:$$PATH" && set -x && \
	cargo deny --log-level error check bans licenses sources && \
	cargo shear && \
	typos
	infra/check_features.sh
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --quiet
	infra/compose/check_dashboards.py
	infra/compose/check_alerts.py
	tests/fuzz/run $(SECONDS)

.PHONY: pictures
pictures: ## Renders the messages of docs/messages.md again (needs chromium, pngquant and npm)
	cargo run --quiet --package communication --example messages -- target/messages
	infra/pictures/render target/messages docs/images/messages

.PHONY: fuzz
fuzz: install ## Searches for inputs that break a parser (SECONDS=30); found ones stay in target/fuzz/found
	@tests/fuzz/run $(SECONDS)

.PHONY: load
load: build ## Lets a minute's burst fall on all agents: loss, lag, memory, recovery; figures also in target/load/summary.json
	@target/debug/load --per-second 50

.PHONY: load-release
load-release: build ## The same with agents that are built with optimisation, which takes a quarter of an hour
	cargo build --release --workspace --bins
	@target/debug/load --binaries target/release

.PHONY: bench
bench: install ## Measures detection beside the naive way, and the gateway beside the Collector (after `make parts`); figures also in target/bench
	cargo build --quiet -p stack
	cargo bench --quiet -p detection --bench sample
	cargo build --quiet --release -p detection --bin detection --example throughput
	@$(STACK) run -- target/release/examples/throughput
	cargo build --quiet --release -p gateway --bin gateway --example gateway-throughput
	@$(STACK) run -- target/release/examples/gateway-throughput

.PHONY: score
score: install ## Scores detection (NAB files by FIREWATCH_BENCH_DIR); writes docs/scoreboard.md and target/score/summary.json
	cargo run --quiet --release -p detection --example scoreboard

.PHONY: score-correlation
score-correlation: install ## Scores correlation over faults of the simulator; writes docs/scoreboard-correlation.md and target/score/correlation.jsonl
	cargo run --quiet --release -p tests --example correlation-scoreboard

# What cannot be measured (no kit, no embedding model) leaves no figures, and the document says so.
.PHONY: score-investigation
score-investigation: install ## Scores investigation over faults of the simulator, the kit's cases (FIREWATCH_BENCH_DIR), retrieval and latency; writes docs/scoreboard-investigation.md
	cargo build --quiet -p stack
	cargo build --quiet --release -p correlation --example causes
	cargo build --quiet --release -p knowledge --example retrieval-scoreboard
	cargo build --quiet --release -p investigation --example latency
	cargo build --quiet --release -p tests --example investigation-scoreboard
	rm -f target/score/causes.jsonl target/score/retrieval.jsonl target/score/latency.jsonl
	-target/release/examples/causes --cases
	-@$(STACK) run -- target/release/examples/retrieval-scoreboard
	-@$(STACK) run -- target/release/examples/latency
	target/release/examples/investigation-scoreboard

.PHONY: score-decisions
score-decisions: install ## Times decisions of correlation with 1,000 open incidents over real PostgreSQL
	cargo build --quiet -p stack
	cargo build --quiet --release -p correlation --example decision_latency
	@$(STACK) run -- target/release/examples/decision_latency

.PHONY: score-retrieval
score-retrieval: install ## Scores the search in runbooks (documents by FIREWATCH_BENCH_DIR): words, meaning and both
	cargo build --quiet -p stack
	cargo build --quiet --release -p knowledge --example retrieval-scoreboard
	@$(STACK) run -- target/release/examples/retrieval-scoreboard

.PHONY: parts
parts: ## Builds the OpenTelemetry Collector, beside which the gateway is tested and measured (needs Go)
	@infra/parts/collector.sh

.PHONY: audit
audit: ## Looks for known vulnerabilities of the dependencies (needs a network)
	@infra/install.sh --check
	@tools=$$(infra/tools/install.sh) && PATH="$$tools:$$PATH" cargo deny check advisories

.PHONY: install
install: # Installs what is missing on this machine
	@infra/install.sh
