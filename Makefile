# Everything a newcomer needs: `make run` and `make test`. Both need only Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: run test check lock metrics alerts bench clean help

run: $(VENV)/.ready ## Broker, Encharge stand-in, worker and a sample log, end to end (ARGS=--exit stops at the end)
	$(BIN)/streams dev up $(ARGS)

test: $(VENV)/.ready ## Checks and the whole test suite
	$(BIN)/python -m tests.run $(ARGS)

check: $(VENV)/.ready ## Formatting, lint, types and import rules only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready ## The benchmark table of bench/README.md
	$(BIN)/python -m bench $(ARGS)

# The environment is made from the locked dependencies, and made again when the lock changes.
$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: Python 3.11 or newer is needed; name one with PYTHON=python3.12" >&2; exit 2; }
	@echo "Creating the environment in $(VENV) (once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock: ## Resolve the dependencies again and write requirements/ (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 --extra dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 requirements/tools.in -o requirements/tools.txt

metrics: $(VENV)/.ready ## Write docs/metrics.md from the code
	$(BIN)/python -m streams.telemetry.page > docs/metrics.md

# The operator's form of the alerts: the same, further in.
ALERTS := deploy/overlays/production/alerts.yaml
alerts: ## Write the production overlay's alerts from deploy/observability/rules.yaml
	@{ sed '/^spec:/q' $(ALERTS); sed 's/^./  &/' deploy/observability/rules.yaml; } > $(ALERTS).new
	@mv $(ALERTS).new $(ALERTS)

clean: ## Remove the environment and what runs leave behind
	rm -rf $(VENV) .tools .streams .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

help:
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/'
