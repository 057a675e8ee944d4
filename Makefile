# The commands of the project. `make help` lists them.
# Written for GNU make 3.81 (macOS) and any POSIX shell.

SHELL := /bin/sh
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
JS := tests/e2e/js
# What is measured takes twice as long, to start above all: of what starts servers these are enough.
MEASURED_TESTS := tests/unit tests/integration tests/contracts tests/e2e/test_chat.py \
	tests/e2e/test_check.py tests/e2e/test_cli.py tests/e2e/test_voice.py \
	$(filter-out %_bad_input.py %_limits.py %_restart.py,$(wildcard tests/e2e/test_contract_*.py))

# The first Python that is new enough; say PYTHON=… for another one.
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11 python; do \
	if $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	echo $$each; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help run dev test coverage test-rest test-unit test-integration test-e2e lint types fmt bench fuzz faults soak fleet load clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## Install what is needed and start the server on http://localhost:3000
	@exec $(BIN)/talksy serve

dev: $(VENV)/.installed-dev ## The same, started again at each change of the code
	@exec $(BIN)/watchfiles --filter python --sigint-timeout 15 '$(BIN)/talksy serve' talksy

test: $(VENV)/.installed-test $(JS)/node_modules/.installed ## Install what the tests need and run them all
	$(BIN)/python -m $(MEASURED) pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

coverage: ## Run most of them, and tell which lines they have not been to
	@rm -f .coverage .coverage.*
	@$(MAKE) test MEASURED='coverage run -m' ARGS='$(MEASURED_TESTS) $(ARGS)'
	@$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

test-rest: ## Run those that `make coverage` leaves out
	@$(MAKE) test ARGS='$(addprefix --ignore=,$(MEASURED_TESTS)) $(ARGS)'

test-unit: $(VENV)/.installed-test ## Run the tests that need nothing but Python
	$(BIN)/python -m pytest tests/unit tests/test_architecture.py $(ARGS)

test-integration: $(VENV)/.installed-test ## Run the tests on real databases and local servers
	$(BIN)/python -m pytest tests/integration $(ARGS)

test-e2e: $(VENV)/.installed-test $(JS)/node_modules/.installed ## Run the tests on a running server and stock clients
	$(BIN)/python -m pytest tests/e2e tests/protocol $(ARGS)

lint: $(VENV)/.installed-test ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test ## Check types
	$(BIN)/mypy

fmt: $(VENV)/.installed-test ## Put style and format right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-test ## Measure Talksy beside Node: make bench ARGS="--only chunk ack"
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(VENV)/.installed-test ## Send nonsense to a running server: make fuzz ARGS="--payloads 100000"
	$(BIN)/python -m tests.fuzz $(ARGS)

faults: $(VENV)/.installed-test ## Break a fleet of nodes in every way: make faults ARGS="--only killed --runs 3"
	$(BIN)/python -m tests.faults $(ARGS)

soak: $(VENV)/.installed-test ## Let a voice stream live through a simulated day: make soak ARGS="--hours 24"
	$(BIN)/python -m tests.soak $(ARGS)

fleet: $(VENV)/.installed-test $(JS)/node_modules/.installed ## Run three nodes behind nginx; restart them under load: make fleet ARGS=--test
	@$(BIN)/python -m tests.fleet $(ARGS)

load: $(VENV)/.installed-load ## Load a server, and fail where it is too slow or loses something: make load HOST=… SHAPE=ramp
	@$(BIN)/python -m loadtests $(if $(filter command,$(origin HOST)),--host $(HOST)) $(if $(SHAPE),--shape $(SHAPE)) \
		$(if $(USERS),--users $(USERS)) $(if $(RUN_TIME),--run-time $(RUN_TIME)) \
		$(if $(MIX),--mix $(MIX)) $(if $(FLEET),--fleet) $(if $(WEB),--web) $(ARGS)

clean: ## Remove what was installed and built; data stays
	rm -rf $(VENV) $(JS)/node_modules benchmarks/node/node_modules build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache

# ---- what the commands stand on

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Talksy needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: say make PYTHON=/path/to/a/newer/python3" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "the venv module is missing: on Debian, apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing Talksy into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-load: pyproject.toml | $(BIN)/python
	@echo "installing Talksy and Locust into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[load]'
	@touch $@ $(VENV)/.installed

# The stock JavaScript client runs on the system's Node, or on one from a wheel.
$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@echo "installing Talksy and its tests into $(VENV)"
	@if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then extras=test; else extras=test,node; fi; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$$extras]"
	@touch $@ $(VENV)/.installed

$(JS)/node_modules/.installed: $(JS)/package.json $(JS)/package-lock.json $(VENV)/.installed-test
	@echo "installing the JavaScript client"
	@$(BIN)/python -c 'from tests.node import ready_node; ready_node()'
	@touch $@
