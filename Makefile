# `make help` writes itself from the comments behind the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
BUF := node_modules/.bin/buf
PACKAGES := mesh schema vision svc_registry svc_ingest svc_identity svc_reports edge_agent footfall_client gateway stack scripts tests bench
PORT_BASE ?= 8400
UV_COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
UV := $(UV_COMPILE) pyproject.toml

.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_%-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# -- install ------------------------------------------------------------------------------------------------------
# A stamp per lock: installing again costs nothing until a lock changes.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@echo "installing the Python packages of the mesh …"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/build.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "installing what tests and generators need …"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

node_modules/.stamp: package.json package-lock.json
	@npm ci --silent
	@touch $@

web/node_modules/.stamp: web/package.json web/package-lock.json
	@echo "installing the UI's packages …"
	@cd web && npm ci --silent
	@touch $@

WEB_SOURCES := $(shell find web/src web/public web/index.html web/vite.config.ts -type f 2>/dev/null)
web/dist/index.html: web/node_modules/.stamp $(WEB_SOURCES)
	@echo "building the UI …"
	@cd web && npm run --silent build

.PHONY: install install-dev ui
install: $(VENV)/.runtime web/dist/index.html ## install what the mesh needs to run
install-dev: $(VENV)/.dev node_modules/.stamp web/node_modules/.stamp ## … and what its developers need
ui: web/dist/index.html ## build the UI into web/dist

# -- run ----------------------------------------------------------------------------------------------------------
.PHONY: demo dev-up dev-down models
demo: install ## the whole mesh on this machine, on films; ONCE=1 checks the counts and exits
	@$(PY) -m stack demo --port-base $(PORT_BASE) $(if $(ONCE),--once,)

dev-up: install ## start the mesh at one desk and leave it running
	@$(PY) -m stack up --detach --port-base $(PORT_BASE)

dev-down: ## stop it
	@$(PY) -m stack down

models: $(VENV)/.runtime ## download the detector and the embedder whose licences you accept
	@$(PY) -m vision.models

# -- check --------------------------------------------------------------------------------------------------------
.PHONY: test lint fmt e2e coverage
# Two at a time; a file stays with one worker, so that what its tests share (an Envoy, a PostgreSQL) is started once.
PYTEST := $(PY) -m pytest --numprocesses $(or $(WORKERS),2) --dist loadfile
test: install-dev ui ## all tests that this machine can run; what is skipped says why
	@$(PYTEST) tests
	@cd web && npm test --silent

coverage: install-dev ui ## the same, with the coverage gate (85 % of service and agent code)
	@rm -f .coverage .coverage.*
	@COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml $(PYTEST) --cov --cov-report= tests
	@$(VENV)/bin/coverage report
	@cd web && npm test --silent

lint: install-dev ## formatting, types, walls, contracts, stale generated code
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy $(PACKAGES)
	@$(VENV)/bin/lint-imports
	@$(PY) scripts/third_party_protos.py
	@$(BUF) lint
	@$(BUF) format --diff --exit-code proto
	@$(BUF) breaking proto --against proto/baseline.binpb
	@$(PY) scripts/generate.py --check
	@cd web && npm run --silent lint

fmt: install-dev ## put everything into the house's format
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format .
	@$(BUF) format --write proto
	@cd web && npm run --silent fmt

e2e: install-dev ui ## real photographs on an RTSP camera, real weights; needs FOOTFALL_MODELS and FOOTFALL_FACES
	@scripts/e2e_demo.sh

bench-%: install-dev ## run bench/NAME.py; its last line is one JSON object of figures
	@$(PY) -m bench.$*

# -- generate -----------------------------------------------------------------------------------------------------
.PHONY: gen openapi baseline migrate migration-baseline lock
gen: install-dev ## everything that is generated from proto/
	@$(PY) scripts/generate.py

openapi: gen ## docs/openapi.json and the JSON Schemas (a part of gen)

baseline: $(VENV)/.dev node_modules/.stamp ## accept today's contracts as what must not break (at a release)
	@$(PY) scripts/third_party_protos.py
	@$(BUF) build proto --exclude-source-info --output proto/baseline.binpb

migrate: $(VENV)/.runtime ## bring the database of FOOTFALL_OWNER_URL to the newest schema
	@$(VENV)/bin/alembic upgrade head

migration-baseline: $(VENV)/.runtime ## render the first migration anew (until the first release)
	@$(PY) -m schema.render --write

lock: ## resolve pyproject.toml into requirements/*.txt, with hashes and without any registry's name
	@$(UV) --group dev -o requirements/dev.txt
	@$(UV) --constraint requirements/dev.txt -o requirements/runtime.txt
	@echo 'hatchling editables' | tr ' ' '\n' | $(UV_COMPILE) --constraint requirements/dev.txt -o requirements/build.txt -
