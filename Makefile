# The few commands of loglake. `make help` lists them.

# One target folder for all checkouts: dependencies are built once.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/loglake/target
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/loglake
VENV := $(CACHE)/venv
PYTHON := $(VENV)/bin/python
PACKAGES := $(VENV)/packages.stamp
BIN := $(CARGO_TARGET_DIR)/debug/loglake
DATA ?= $(CURDIR)/lake-data

TESTS_KAFKA := cd tests && LOGLAKE_BIN=$(BIN) $(PYTHON)

.PHONY: help run build test lint unit e2e servers cluster bench bench-corpora bench-growth bench-cold bench-ways bench-elastic bench-quick fuzz fuzz-decoder kill storm visible ack recovery sim docs clean-data setup kafka demo-kafka storm-kafka

help: ## This list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## Install what the build needs (protoc; by apt where it is missing)
	@tests/setup.sh

build: setup ## Build the binary (lightly optimised, quick to build)
	cargo build --bin loglake

run: build ## Start a lake of its own on 127.0.0.1 with demo logs, and say where to look
	@tests/run.sh $(BIN) $(DATA)

test: setup lint unit e2e ## Everything: format, lints, unit, golden SQL, end to end

lint: ## Formatting, and clippy with warnings denied
	cargo fmt --check
	cargo clippy --workspace --all-targets --features loglake-format/stages --locked -- -D warnings

unit: servers ## Unit tests, golden SQL; coordination against a real etcd, the store against MinIO and HDFS
	$(PYTHON) tests/servers/with_servers.py cargo test --workspace --locked

e2e: build servers ## End to end against real servers and real clients
	@tests/setup.sh storm
	LOGLAKE_BIN=$(BIN) $(PYTHON) -m pytest tests/e2e -q

$(PACKAGES): tests/e2e/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q -r $<
	@touch $@

servers: $(PACKAGES) ## Build MinIO, etcd and HDFS for the tests (cached)
	cd tests && $(PYTHON) -m servers build

BENCH_INPUT ?= $(CACHE)/bench/records-5000000.ndjson
bench: setup $(PACKAGES) ## Beside ClickHouse and DuckDB on the same records (release build: half an hour cold)
	cargo build --release --bin loglake
	$(VENV)/bin/pip install -q -r tests/bench/requirements.txt
	@test -f $(BENCH_INPUT) || tests/bench/records.sh $(BENCH_INPUT)
	$(PYTHON) tests/bench/bench.py --bin $(CARGO_TARGET_DIR)/release/loglake --input $(BENCH_INPUT) --work $(CACHE)/bench/work --out docs

# Other records, growth, a cold process on a store, the ways in, and Elasticsearch's API: sections for the page, each alone.
BENCH_ROWS ?= 1000000
BENCH_WORK := $(CACHE)/bench/work
bench-corpora: setup $(PACKAGES) ## The same on records of six other kinds
	cargo build --release --bin loglake
	$(VENV)/bin/pip install -q -r tests/bench/requirements.txt
	@mkdir -p $(BENCH_WORK)
	@for kind in seed services unique wide long short; do \
	  rows=$$([ $$kind = long ] && echo $$(($(BENCH_ROWS) / 50)) || echo $(BENCH_ROWS)); \
	  $(PYTHON) tests/bench/corpora.py $$kind $$rows $(BENCH_WORK)/$$kind.ndjson && \
	  $(PYTHON) tests/bench/bench.py --bin $(CARGO_TARGET_DIR)/release/loglake --input $(BENCH_WORK)/$$kind.ndjson \
	    --work $(BENCH_WORK) --fragment $(BENCH_WORK)/$$kind.md --title "Records: $$kind" || exit 1; done

BENCH_SIZES ?= 1000000,5000000,20000000
bench-growth: setup servers ## The questions on BENCH_SIZES records, and with 1, 2 and 4 queriers
	cargo build --release --bin loglake
	PYTHONPATH=tests $(PYTHON) tests/bench/growth.py --bin $(CARGO_TARGET_DIR)/release/loglake --sizes $(BENCH_SIZES) \
	  --queriers 1,2,4 --wait 780 --work $(BENCH_WORK) --fragment $(BENCH_WORK)/growth.md

bench-cold: setup servers ## Requests, bytes and dollars of a fresh process's questions on MinIO
	cargo build --release --bin loglake
	PYTHONPATH=tests $(PYTHON) tests/bench/cold.py --bin $(CARGO_TARGET_DIR)/release/loglake --input $(BENCH_INPUT) \
	  --wait 780 --work $(BENCH_WORK) --fragment $(BENCH_WORK)/cold.md

bench-ways: setup kafka ## CPU of a load over _bulk, as NDJSON, as Kafka and from Kafka
	cargo build --release --bin loglake
	@test -f $(BENCH_INPUT) || tests/bench/records.sh $(BENCH_INPUT)
	PYTHONPATH=tests $(PYTHON) tests/bench/ways.py --bin $(CARGO_TARGET_DIR)/release/loglake --input $(BENCH_INPUT) \
	  --rows $(BENCH_ROWS) --work $(BENCH_WORK) --fragment $(BENCH_WORK)/ways.md

BENCH_ELASTIC_ROWS ?= 5000000
bench-elastic: setup $(PACKAGES) ## Over _search, beside SQL and beside OpenSearch (Maven, Java 21)
	cargo build --release --bin loglake
	@test -f $(BENCH_INPUT) || tests/bench/records.sh $(BENCH_INPUT)
	PYTHONPATH=tests $(PYTHON) tests/bench/elastic.py --bin $(CARGO_TARGET_DIR)/release/loglake --input $(BENCH_INPUT) \
	  --rows $(BENCH_ELASTIC_ROWS) --work $(BENCH_WORK) --fragment $(BENCH_WORK)/elastic.md

BASE ?= HEAD~1
bench-quick: setup ## Instructions of each stage beside those of the commit BASE (valgrind; for noisy machines)
	tests/bench/quick.sh $(BASE)

DECODER ?= ndjson
FUZZ_SECONDS ?= 600
fuzz-decoder: setup ## Bytes that reach ever more of DECODER (crates/fuzz lists them), for FUZZ_SECONDS
	@mkdir -p $(CACHE)/fuzz/$(DECODER)
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/crates/fuzz/instrumented.sh cargo build --release --bin loglake-fuzz --features loglake-fuzz/libfuzzer
	cd $(CACHE)/fuzz && LOGLAKE_FUZZ=$(DECODER) $(CARGO_TARGET_DIR)/release/loglake-fuzz $(DECODER) \
	  -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1

fuzz: build $(PACKAGES) ## Changed requests to the doors of a running server, SECONDS each: [DOOR=kafka,sql] [SEED=n]
	cd tests && LOGLAKE_BIN=$(BIN) $(PYTHON) -m fuzz --seconds $(or $(SECONDS),600) $(if $(DOOR),--door $(DOOR)) $(if $(SEED),--seed $(SEED))

SEEDS ?= 200
FROM ?= 0
sim: setup ## The simulation of a whole cluster: SEEDS=10000 [FROM=first] [TRACE=1]
	@cargo run -q --bin loglake-sim -- --seeds $(SEEDS) --from $(FROM) $(if $(TRACE),--trace)

KILL_ROUNDS ?= 50
kill: build servers ## kill -9 during a load, KILL_ROUNDS times, on a directory and on MinIO
	LOGLAKE_BIN=$(BIN) LOGLAKE_KILL_ROUNDS=$(KILL_ROUNDS) $(PYTHON) -m pytest tests/e2e/test_kill.py -q

MINUTES ?= 30
storm: build servers ## Real faults over a whole cluster for MINUTES, plan by SEED; loses nothing
	@tests/setup.sh storm
	cd tests && LOGLAKE_BIN=$(BIN) $(PYTHON) -m storm --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

kafka: $(PACKAGES) ## Fetch Kafka for the tests (Maven; cached)
	cd tests && $(PYTHON) -m servers kafka

demo-kafka: build kafka ## A Kafka with demo logs and a lake that consumes them, on 127.0.0.1
	$(TESTS_KAFKA) -m servers.demo_kafka

ROWS ?= 10000000
storm-kafka: build servers kafka ## ROWS records through Kafka into two lakes' processes while all of them are killed
	$(TESTS_KAFKA) -m storm.kafka --rows $(ROWS) $(if $(SEED),--seed $(SEED))

TRIES ?= 10000
visible: build servers ## TRIES times: a record, its acknowledgement, at once a query on other nodes
	LOGLAKE_BIN=$(BIN) LOGLAKE_VISIBLE_TRIES=$(TRIES) $(PYTHON) -m pytest tests/e2e/test_cluster.py -q -s -k sees

ack: servers ## Acknowledgement latency at 10,000 records/s on MinIO and on a directory (release build)
	cargo build --release --bin loglake
	cd tests && $(PYTHON) bench/ack.py --bin $(CARGO_TARGET_DIR)/release/loglake

GB ?= 10
recovery: setup ## Recover a dead writer's log of GB gigabytes in under 512 MiB of memory
	rm -rf $(CACHE)/recovery
	cargo run -p loglake-ingest --example recovery -- $(CACHE)/recovery $(GB)
	rm -rf $(CACHE)/recovery

cluster: build servers ## MinIO, three etcd and loglake on this machine, as docker-compose.yml has them
	cd tests && LOGLAKE_BIN=$(BIN) $(PYTHON) -m servers cluster

docs: build ## Write docs/configuration.md from the settings' doc comments
	$(BIN) configuration > docs/configuration.md

clean-data: ## Remove the lake of `make run`
	rm -rf $(DATA)
