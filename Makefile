# Every command a newcomer or CI needs. `make` alone lists them.
# Needs python3 (3.11 or later, with its venv module) and make; the rest is fetched into .venv.

PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test matrix proofs truth check format bench dashboards ci clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "agentscope needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "python3 has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV= $(BIN)/uv sync --quiet --frozen --all-extras
	@touch $@

install: $(STAMP) ## make .venv and install the locked dependencies into it

demo: install ## start the example agent under load and read what binds it (SCENARIO=rate-limit)
	@$(BIN)/agentscope demo $(if $(SCENARIO),--scenario $(SCENARIO)) $(ARGS)

test: install ## run the tests (ARGS="-k name" for some of them)
	@$(BIN)/pytest -n 2 --dist loadfile tests/analyzer tests/dashboards tests/contract $(ARGS) || [ $$? = 5 ]
	@$(BIN)/pytest tests/sdk tests/lab tests/examples tests/matrix $(ARGS) || [ $$? = 5 ]

matrix: install ## each client release, framework and other instrumentation (5 minutes, needs the network)
	@AGENTSCOPE_MATRIX=1 $(BIN)/pytest tests/matrix $(ARGS)

proofs: install ## each planted bottleneck is found, and nothing in its healthy twin (12 minutes)
	@AGENTSCOPE_PROOFS=1 $(BIN)/pytest -m proofs $(ARGS)

truth: install ## the analyzer against runs whose truth is known, ten of each class (10 minutes)
	@AGENTSCOPE_TRUTH=1 $(BIN)/pytest tests/analyzer/truth $(ARGS)

check: install ## formatting, lint, types, layers, lock file
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python dashboards/build.py --check
	@$(BIN)/uv lock --check --quiet

format: install ## rewrite the code in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install ## the recorder's cost, as ratios to a control of the same run
	@$(BIN)/python tests/benchmarks/recorder_cost.py

dashboards: install ## write the Grafana boards from the vocabulary
	@$(BIN)/python dashboards/build.py

ci: check test ## what CI runs

clean: ## remove what these commands made
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache
