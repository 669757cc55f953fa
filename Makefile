# The commands of the project. People, CI and the release run these very targets; nothing else is needed
# but make and Python 3.11 to 3.13. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python

# No part reports home, whoever starts it.
export DO_NOT_TRACK := 1
export BENTOML_DO_NOT_TRACK := True
export DVC_NO_ANALYTICS := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export STREAMLIT_BROWSER_GATHER_USAGE_STATS := false

DATA ?= sample
export DATA MONTHS RUN REGISTRY NAME DEST

.PHONY: help venv up down status demo test lint check bench image replay faults reproduce lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# Finds a Python that can make a virtual environment and brings .venv to the locked state; quick when it is there.
venv: ## .venv from the hash-locked requirements
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if "$$python" -c 'import ensurepip, sqlite3, ssl, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; \
	  then exec "$$python" infra/venv.py $(VENV); fi; \
	done; \
	echo "make: no Python 3.11, 3.12 or 3.13 with venv and ensurepip found; install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1

up: venv ## start the embedded stack: store, MLflow, Prefect, worker, API, UI
	@$(PY) -m infra.local up

down: ## stop every process of the stack; its state stays in .local
	@if [ -x $(PY) ]; then $(PY) -m infra.local down; else echo "nothing runs: there is no $(VENV) yet"; fi

status: venv ## what runs, where, since when
	@$(PY) -m infra.local status

demo: venv ## from a clean clone to a scored applicant; DATA=sample|kaggle|PATH
	@$(PY) -m infra.demo --data "$$DATA"

lint: venv ## layout, lint, types, import directions, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pylint service bentos flows ui infra tests
	$(BIN)/mypy service bentos flows ui infra
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/zizmor --offline --no-progress --quiet .github

check: venv ## the tests alone, with coverage; ARGS= goes to pytest
	$(BIN)/pytest --cov --cov-report=term --cov-fail-under=85 --durations=20 -n 2 --dist loadgroup --no-loadscope-reorder $(ARGS)

test: ## every check CI makes
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory check

bench: venv ## speed against plain alternatives, on the served model; MODEL=DIR for another package
	@$(PY) -m tests.bench.serving --model "$${MODEL:-$$($(PY) -m infra.local model)}" $(ARGS)

image: venv ## the champion as an image, pushed to $$REGISTRY by digest
	@set -a; . ./.local/env; set +a; $(PY) -m bentos.publish

replay: venv ## DATA=PATH MONTHS=9,10: an unlabelled Kaggle file as months of traffic, drift after each
	@$(PY) -m infra.replay --data "$$DATA" --months "$$MONTHS"

faults: venv ## the full fault matrix: kills, a store that is away, damaged models
	$(BIN)/pytest -m full tests --timeout 7200 $(ARGS)

reproduce: venv ## RUN=ID: train again from MLflow's record, prove the same bits
	@set -a; . ./.local/env; set +a; $(PY) -m flows.reproduce --run "$$RUN"

lock: venv ## re-lock the requirements of every image; UPGRADE=--upgrade for newer versions
	@$(PY) -m infra.locking $(UPGRADE)

clean: down ## remove caches and builds; state in .local and .venv stay
	rm -rf build dist *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache catboost_info
	find . -path ./.venv -prune -o -path ./.local -prune -o -name __pycache__ -type d -print | xargs rm -rf
