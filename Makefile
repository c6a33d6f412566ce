# Every target sets itself up. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/.ready
ROOMS := protocols edge_runtime hub headquarters
CODE := $(ROOMS) benchmarks scripts tests

# Handed on to the program behind a target: make demo ARGS="--duration 60 --json"
ARGS ?=
# How many simulated worlds.
SEEDS ?= 2000
# PEERS=0 leaves out the tests against other vendors' servers.
PEERS ?= 1
export PEERS
# Tests that compute, beside those that mostly wait for processes and clocks and go before them.
BESIDE := $(addprefix tests/,simulation apps docs property rules unit)
BESIDE_LOG := .pytest_cache/beside.log
PYTEST := $(BIN)/python -m pytest $(if $(filter 0,$(PEERS)),--ignore=tests/peers)

.PHONY: help
help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: setup
setup: $(READY)  ## Make .venv with everything, from the hash-locked requirements

$(READY): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "expected Python 3.11 or newer, found none; install it, or say make PYTHON=/path/to/python" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "expected $(PYTHON) to have the venv module; on Debian: apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: $(READY)  ## Run a plant, two gateways, a hub and headquarters here (ARGS="--help")
	$(BIN)/python -m scripts.demo $(ARGS)

.PHONY: test
test: $(READY)  ## Run the tests (ARGS are pytest's; PEERS=0 without other vendors' servers)
ifeq ($(ARGS),)
	mkdir -p $(dir $(BESIDE_LOG))
	nice -n 10 $(PYTEST) --numprocesses auto --dist worksteal $(BESIDE) >$(BESIDE_LOG) 2>&1 & beside=$$!; \
		trap 'kill $$beside' INT TERM; failed=0; \
		$(PYTEST) --numprocesses 2 --dist loadfile --no-loadscope-reorder $(addprefix --ignore=,$(BESIDE)) || failed=1; \
		wait $$beside || failed=1; cat $(BESIDE_LOG); exit $$failed
else
	$(PYTEST) $(ARGS)
endif

.PHONY: check
check: lint test  ## What CI runs: format, lint, types, contracts, tests

.PHONY: lint
lint: $(READY)  ## Format, lint, types and import contracts, without the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(READY)  ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: $(READY)  ## Measure the data path, the rules, pushing down, governed queries and the portal (ARGS="--quick", "--json")
	$(BIN)/python -m benchmarks.data_path $(ARGS)
	$(BIN)/python -m benchmarks.rules $(ARGS)
	$(BIN)/python -m benchmarks.push_down $(ARGS)
	$(BIN)/python -m benchmarks.sql $(ARGS)
	$(BIN)/python -m benchmarks.portal $(ARGS)

.PHONY: simulate
simulate: $(READY)  ## Run simulated worlds (SEEDS=10000; ARGS="--explain 4711" replays one)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

.PHONY: nightly
nightly: $(READY)  ## What takes hours: 10,000 worlds, 2,000 kills, 3,000 rule programs, the apps over columns, each parser and governed queries fuzzed for 10 minutes
	$(BIN)/python -m tests.simulation --seeds 10000
	$(BIN)/python -m tests.faults --kills 2000
	$(BIN)/python -m tests.rules --programs 4600 --jobs $$(nproc)
	$(BIN)/python -m tests.apps.columns
	$(BIN)/python -m scripts.fuzz --each 600 --jobs $$(nproc)
	$(BIN)/python -m tests.sql --minutes 10

.PHONY: peers
peers:  ## Install and build the other vendors' servers that tests/peers talks to
	scripts/peers.sh

.PHONY: portal
portal: $(READY)  ## Re-make the portal's scripts, styles and catalogues of words (needs Node.js; users do not)
	cd scripts/portal && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error && node build.mjs
	$(BIN)/python -m scripts.portal.words

.PHONY: docs
docs: $(READY)  ## Re-make docs/cli.md, docs/settings.md and docs/metrics.md from the code
	$(BIN)/python -m scripts.cli_docs
	$(BIN)/python -m scripts.settings_docs
	$(BIN)/python -m scripts.metrics_docs

.PHONY: lock
lock: $(READY)  ## Re-make requirements/*.txt from pyproject.toml (ARGS=--upgrade)
	scripts/lock.sh $(ARGS)

.PHONY: clean
clean:  ## Remove what setup, tests and demos made
	rm -rf .venv build demo node_modules tests/peers/servers/node_modules scripts/portal/node_modules \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
