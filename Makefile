# Every target sets up what it needs by itself: a virtual environment in .venv with the pinned wheels.
# `make` or `make help` lists the targets; a target's first comment is its help.

PYTHON ?= python3
VENV   := .venv
# Programs run as modules of this Python: the scripts beside it name it by its path, in which a shell expands a $.
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# One more than CI's machine has cores: many tests wait for a time to pass.
PYTEST_WORKERS ?= 3
# TEST_BACKEND=testcontainers runs integration and e2e on containers: those of the engine that answers, or of our own.
ENGINE_testcontainers := $(BIN)/python -m tests.standins run --images nats,postgres --

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-smoke test-compose test-unit lint format types imports check promtool bench bench-access bench-access-cost bench-pipelines bench-waiting bench-overload bench-recovery bench-footprint bench-history bench-lists bench-logs bench-log-page bench-pages soak docs screenshots lock clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@echo "installing the pinned packages into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## Make the virtual environment

demo: $(STAMP) ## Start the platform, run the example pipeline with its live logs, stop everything
	@$(BIN)/python -m hodei demo

up: $(STAMP) ## Start NATS, PostgreSQL, the three services and a worker; Ctrl-C stops them
	@$(BIN)/python -m hodei up

test: $(STAMP) ## Run all tests but those of the images
	$(ENGINE_$(TEST_BACKEND)) $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal -q --ignore=tests/containers

test-smoke: $(STAMP) ## Run a few tests of each kind on containers of NATS and PostgreSQL
	TEST_BACKEND=testcontainers $(ENGINE_testcontainers) $(BIN)/python -m pytest tests/integration tests/e2e \
	  -m smoke -n 2 --dist worksteal -q

test-compose: $(STAMP) ## Build the images, start the containers, run the e2e suite and more against them
	$(BIN)/python -m tests.standins run -- $(BIN)/python -m pytest tests/containers -q

test-unit: $(STAMP) ## Run the unit tests alone (seconds)
	$(BIN)/python -m pytest tests/unit -q

lint: $(STAMP) ## Check style
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: $(STAMP) ## Format the code, and repair what ruff can repair
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

types: $(STAMP) ## Check types
	$(BIN)/python -m mypy

imports: $(STAMP) ## Check the rules for imports between packages
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

check: lint types imports ## Check style, types and imports

promtool: ## Check Prometheus's configuration and rules, and test every alert (needs Debian's package prometheus)
	@command -v promtool >/dev/null || { echo "skipped: there is no promtool here (apt-get install prometheus)"; exit 0; } && \
	  promtool check config --syntax-only compose/prometheus/prometheus.yml && \
	  promtool check config --syntax-only compose/prometheus/production.yml && \
	  promtool check rules compose/prometheus/rules/*.yml && \
	  promtool test rules compose/prometheus/tests/*.yml

bench: $(STAMP) ## Measure throughput, latency, start-up and memory, and print a table
	$(BIN)/python -m benchmarks

bench-pipelines: $(STAMP) ## Measure what a finished task costs in small and large jobs, and a chain of 40 steps
	$(BIN)/python -m benchmarks.pipelines

bench-access: $(STAMP) ## Measure what the check of a token costs a request
	$(BIN)/python -m benchmarks.access

# Options: make bench-access-cost ACCESS_COST="--rounds 600 --limit 2".
bench-access-cost: $(STAMP) ## Compare submissions with access on with submissions with access off
	$(BIN)/python -m benchmarks.access_cost $(ACCESS_COST)

# Options: make bench-waiting WAITING="--tasks 20000 --env-bytes 20000".
bench-waiting: $(STAMP) ## Measure the memory of a scheduler with 200,000 waiting tasks
	$(BIN)/python -m benchmarks.waiting $(WAITING)

# Options: make bench-overload OVERLOAD="--seconds 20 --limit 100".
bench-overload: $(STAMP) ## Submit from four times as many clients as the limit allows, and measure what all meet
	$(BIN)/python -m benchmarks.overload $(OVERLOAD)

# Options: make bench-recovery RECOVERY="--faults kill:scheduler --repeats 5"; RECOVERY=--help explains them.
bench-recovery: $(STAMP) ## Kill, stop, freeze and cut off each part, and measure how soon the platform is back
	$(BIN)/python -m benchmarks.recovery $(RECOVERY)

# Options: make bench-footprint FOOTPRINT="--at-once 1".
bench-footprint: $(STAMP) ## Measure the bytes that a finished job takes in every table and index
	$(BIN)/python -m benchmarks.footprint $(FOOTPRINT)

# Options: make bench-history HISTORY="--jobs 100000 --old 10000".
bench-history: $(STAMP) ## Compare a platform with 1,000,000 finished jobs with one that has 1,000, and delete 100,000
	$(BIN)/python -m benchmarks.history $(HISTORY)

# Options: make bench-lists LISTS="--jobs 100000".
bench-lists: $(STAMP) ## Time every list and number that the console asks for, with 1,000,000 finished jobs
	$(BIN)/python -m benchmarks.lists $(LISTS)

# Options: make bench-logs LOGS="--megabytes 100".
bench-logs: $(STAMP) ## Measure parts of a log of 500 MB: its first page, its last lines, and a search
	$(BIN)/python -m benchmarks.logs $(LOGS)

# Options: make bench-log-page LOG_PAGE="--megabytes 100".
bench-log-page: $(STAMP) ## Measure how the console opens and scrolls a log of 500 MB, in a headless Chromium
	$(BIN)/python -m benchmarks.log_page $(LOG_PAGE)

bench-pages: $(STAMP) ## Measure how soon the console's pages are filled, in a headless Chromium
	$(BIN)/python -m benchmarks.pages

MINUTES ?= 10
# Options: make soak MINUTES=60 SOAK="--rate 50".
soak: $(STAMP) ## Run a platform at a fixed rate for MINUTES, and print memory, files and sizes over time
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) $(SOAK)

docs: $(STAMP) ## Generate the pages of docs/ that come from the code
	$(BIN)/python -m docs.generate

screenshots: $(STAMP) ## Take the pictures of docs/console, of a platform that is started for it
	$(BIN)/python -m tests.e2e.console.screenshots

PIP_COMPILE = .lock-venv/bin/pip-compile --quiet --allow-unsafe --strip-extras --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

lock: ## Pin the newest allowed versions of all packages
	@test -x .lock-venv/bin/pip-compile || { $(PYTHON) -m venv .lock-venv && .lock-venv/bin/python -m pip install --quiet pip-tools; }
	$(PIP_COMPILE) --upgrade --all-extras --output-file requirements.lock pyproject.toml
	# What the images get: the same pins without the extras, and what builds our wheel.
	cp requirements.lock requirements-runtime.lock
	$(PIP_COMPILE) --output-file requirements-runtime.lock pyproject.toml
	cp requirements.lock requirements-build.lock
	$(PIP_COMPILE) --only-build-deps --build-deps-for wheel --output-file requirements-build.lock pyproject.toml

clean: ## Remove what the other targets made, except .hodei/ (your data)
	rm -rf $(VENV) .lock-venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
