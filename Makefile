# Everything one does with this project. `make help` lists it; CONTRIBUTING.md explains it.

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DUCKDB_2 := $(VENV)/duckdb-2
EXTRAS := $(VENV)/extras
# Who comes to his turn is decided by our lock, whatever DuckDB there is.
BY_OUR_LOCK := tests/chaos/test_commit_together.py::test_eight_processes_commit_twenty_batches_each_and_none_starves
BROWSER := $(VENV)/.browser
PORT ?= 3000
PROCESSES ?= 2
# In the order of their names: by number of tests, as is usual, the longest files would come last, for they have few.
SPREAD = -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test ui install format lint test-duckdb-2 test-extras soak browser pictures benchmark sandbox constraints replay clean-spools clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

run: $(INSTALLED) ## The main job: read every stream, land it in DuckDB, print a table
	$(PYTHON) -m orchestration.main_job

test: lint ## Check format, style and types, then run the tests; stops at the first failure
	$(PYTHON) -m pytest $(SPREAD)

ui: $(INSTALLED) ## Open Dagster's web UI on http://127.0.0.1:3000 (PORT=3001 for another)
	$(PYTHON) -m dagster dev --host 127.0.0.1 --port $(PORT)

install: $(INSTALLED) ## Make the virtual environment in .venv (the other targets do it when it is needed)

$(INSTALLED): pyproject.toml constraints.txt scripts/install
	@scripts/install $(VENV)
	@touch $@

format: $(INSTALLED) ## Format the code, and repair what the linter can
	$(PYTHON) -m ruff check --fix-only --quiet .
	$(PYTHON) -m ruff format .

lint: $(INSTALLED) ## Check format, style and types
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

test-duckdb-2: $(DUCKDB_2)/.installed ## Run the tests of the destinations with DuckDB 2
	PYTHONPATH="$(CURDIR)/$(DUCKDB_2)" $(PYTHON) -c 'import duckdb; assert duckdb.__version__[:2] == "2.", duckdb.__version__'
	PYTHONPATH="$(CURDIR)/$(DUCKDB_2)" $(PYTHON) -m pytest $(SPREAD) --deselect $(BY_OUR_LOCK) tests/chaos/test_commit*.py tests/destinations

$(DUCKDB_2)/.installed: $(INSTALLED)
	@scripts/install $(VENV) --target $(DUCKDB_2) 'duckdb>=2,<3'
	@touch $@

test-extras: $(EXTRAS)/.installed ## Run the tests of the extra `arrow`, which is installed for them alone
	PYTHONPATH="$(CURDIR)/$(EXTRAS)" $(PYTHON) -m pytest -m extras tests/api tests/benchmarks $(ARGS)

$(EXTRAS)/.installed: $(INSTALLED)
	@scripts/install $(VENV) --target $(EXTRAS) $$(grep -E '^(pyarrow)==' constraints.txt)
	@touch $@

replay: $(INSTALLED) ## Land again what was read before, without a request (ARGS="--list" shows what there is)
	$(PYTHON) -m orchestration.replay $(ARGS)

clean-spools: $(INSTALLED) ## Remove what was read, landed and kept for replays (data/spools)
	$(PYTHON) -m orchestration.replay --remove

soak: $(INSTALLED) ## Minutes of chaos: kills, full disks, many processes at once (ARGS="-k commit" for a part)
	$(PYTHON) -m pytest -m soak -rP $(SPREAD) tests/chaos tests/contract tests/destinations $(ARGS)

browser: $(BROWSER) ## Click through the web UI in chromium, which has to be installed; pictures go to build/pictures
	$(PYTHON) -m pytest -m browser tests/browser $(ARGS)

pictures: $(BROWSER) ## The same with a month of data; the documentation's pictures are made anew
	PICTURES=docs/images $(PYTHON) -m pytest -m browser tests/browser

$(BROWSER): $(INSTALLED)
	@scripts/install $(VENV) browser
	@touch $@

benchmark: $(INSTALLED) ## Measure throughput, memory and fixed costs
	$(PYTHON) -m tests.benchmarks $(ARGS)

sandbox: $(INSTALLED) ## Serve the vendors' stand-ins (ARGS="--help" lists the options)
	$(PYTHON) -m connector_resources.sandbox $(ARGS)

constraints: ## Pin what pyproject.toml asks for, as far as it is not pinned (ARGS=--upgrade: all anew; needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra browser --extra arrow --extra sql --no-annotate $(ARGS) \
		--custom-compile-command 'make constraints' --output-file constraints.txt pyproject.toml

clean: ## Remove .venv and what tools leave behind; data/ and Dagster's history stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .tmp_dagster_home_* .logs_queue logs
	find connector_resources orchestration tests -type d -name __pycache__ -prune -exec rm -rf {} +
