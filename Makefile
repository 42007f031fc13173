# Every task of the project. `make demo` and `make test` are all a newcomer needs: both make the
# environment first, from nothing but Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ERP ?= netsuite
DEMO := .demo/quote_to_cash$(if $(filter-out netsuite,$(ERP)),_$(ERP))
ALL ?=
ONLY ?=
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo up down test promises nightly mutants lint examples real-systems bench schemas browser clean

help:  ## Show the tasks
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tieout needs Python 3.11 or newer; set PYTHON=python3.12 or the like")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(VENV)/uv/bin/uv || { $(PYTHON) -m venv $(VENV)/uv && $(VENV)/uv/bin/pip install -qqq --disable-pip-version-check 'uv>=0.9'; }
	@UV_SYSTEM_CERTS=1 UV_PROJECT_ENVIRONMENT=$(VENV) $(VENV)/uv/bin/uv sync --frozen --quiet --no-build --no-install-project
	@UV_SYSTEM_CERTS=1 UV_PROJECT_ENVIRONMENT=$(VENV) $(VENV)/uv/bin/uv sync --frozen --quiet
	@touch $@

demo: $(VENV)/.ready  ## Run quote-to-cash on Northwind; ERP=tryton for a real ERP, ALL=1 for every order
	@$(BIN)/tieout demo --erp $(ERP) $(if $(ALL),--all)

up: $(VENV)/.ready  ## Open the console on what the demo left (http://127.0.0.1:18180); ERP=tryton as for the demo
	@test -d $(DEMO) || { echo "Run 'make demo' first (with the same ERP=…): the console shows what it did."; exit 1; }
	@$(BIN)/tieout up --landscape $(DEMO)

down: $(VENV)/.ready  ## Stop what 'make up' started
	@$(BIN)/tieout down --landscape $(DEMO)

test: lint browser  ## Run everything that must hold: lint, types, one-way rule, all tests
	@$(BIN)/pytest -n $(JOBS) --dist loadfile  # a file's tests share what is costly to start

promises: $(VENV)/.ready  ## Show every promise at its full count and print the table (up to 75 minutes); ONLY=P2 for some
	@$(BIN)/python tools/promises.py $(ONLY)

mutants: $(VENV)/.ready  ## Plant every known kind of bug in a copy and show how soon the rehearsal finds it; ONLY=no_fence for some
	@$(BIN)/python tools/mutants.py --jobs $(JOBS) $(if $(ONLY),$(ONLY),--write)

nightly: $(VENV)/.ready  ## Twenty thousand seeds of the rehearsal
	@TIEOUT_SEEDS=20000 $(BIN)/pytest -n 0 --timeout 86400 -m promises tests/rehearsal/test_seeds.py

lint: $(VENV)/.ready  ## ruff, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }

browser: $(VENV)/.ready  # the console's tests look at it in a real Chromium
	@$(BIN)/python tools/browser.py

examples: $(VENV)/.ready  ## Check and test every example landscape
	@for landscape in examples/*/; do \
	  $(BIN)/tieout check --landscape $$landscape && $(BIN)/tieout test --landscape $$landscape || exit 1; \
	done

real-systems: $(VENV)/.ready  ## Tests against systems we did not write (installs Tryton beside)
	@$(BIN)/pytest -m real_system tests/real_systems

bench: $(VENV)/.ready  ## Measure, side by side with peers; prints one JSON line each
	@$(BIN)/python -m benchmarks.mapping --json
	@$(BIN)/python -m benchmarks.check --json
	@$(BIN)/python -m benchmarks.audit --json
	@$(BIN)/python -m benchmarks.record_sync --json
	@$(BIN)/python -m benchmarks.latency --json
	@$(BIN)/python -m benchmarks.claiming --json
	@$(BIN)/python -m benchmarks.backlog --json
	@$(BIN)/python -m benchmarks.memory --json
	@$(BIN)/python -m benchmarks.flows --json

schemas: $(VENV)/.ready  ## Write the generated reference pages again
	@$(BIN)/python -m tieout.finance.schema docs/reference/schemas
	@$(BIN)/python -m tieout.rules.reference docs/reference/expressions.md
	@$(BIN)/python -m tieout.cli.reference docs/reference
	@$(BIN)/python tools/connector_page.py
	@$(BIN)/python tools/fault_table.py

clean:  ## Remove the environment and the demo
	@for demo in .demo/*/landscape.yaml; do test ! -f $$demo || $(BIN)/tieout down --landscape $$(dirname $$demo); done
	@rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
