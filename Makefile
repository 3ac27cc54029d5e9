# Everything one does with this repository. `make` alone shows what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv/bin
# What is installed is known by the lock, the packaging and the place: each has its own stamp.
fingerprint = $(shell { cat $(1) pyproject.toml deploy/setup_venv.py; pwd; } | cksum | tr -d ' ')
RUN_STAMP = .venv/.installed-run-$(call fingerprint,deploy/requirements.lock)
DEV_STAMP = .venv/.installed-dev-$(call fingerprint,deploy/requirements-dev.lock)

# Test runs: two processes suit two cores; ARGS goes to pytest (make unit ARGS="-k phone").
WORKERS ?= 2
PYTEST = $(VENV)/python -m pytest -q
ARGS ?=

##@ Use
.PHONY: run demo doctor status
run: setup-run ## Start everything; ARGS="--port 9000 --data-dir DIR" are passed on
	@exec $(VENV)/python -m rollbook up $(ARGS)
demo: setup-run ## The same with 5,000 contacts and 90 days of history
	@exec $(VENV)/python -m rollbook up --demo $(ARGS)
doctor: setup-run ## Say what is wrong here and what to do
	@$(VENV)/python -m rollbook doctor $(ARGS)
status: setup-run ## Show how far each read model is
	@$(VENV)/python -m rollbook status $(ARGS)

##@ Test
.PHONY: test unit integration e2e property chaos bench
test: setup ## The whole fast suite, on real PostgreSQL and NATS (some minutes on 2 cores)
	@$(PYTEST) -n $(WORKERS) $(ARGS) tests
unit: setup ## Rules and parsing: no server, a few seconds
	@$(PYTEST) -n $(WORKERS) $(ARGS) tests/unit
integration: setup ## Every part on real servers
	@$(PYTEST) -n $(WORKERS) $(ARGS) tests/integration
e2e: setup ## Journeys through the real stack
	@$(PYTEST) $(ARGS) tests/e2e
property: setup ## Random input and histories at their full figures (hours)
	@ROLLBOOK_PROPERTY=full $(PYTEST) -n $(WORKERS) --timeout 0 -m "property or hypothesis" $(ARGS) tests
chaos: setup ## Kill tests at their full figures (hours)
	@ROLLBOOK_CHAOS=full $(PYTEST) --timeout 0 $(ARGS) tests/chaos
bench: setup ## Figures beside those of others; BENCH="append http" picks some, DATA=1m is a million contacts
	@$(if $(DATA),ROLLBOOK_BENCH_DATA=$(DATA) )$(VENV)/python -m tests.bench $(if $(DATA),million,$(BENCH))

##@ Quality
.PHONY: lint fmt check
lint: setup ## ruff, mypy --strict, import walls, module sizes
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports
	@$(VENV)/python -m tests.support.sizes
fmt: setup ## Format, repair what ruff can, renew line numbers of the README and the AsyncAPI documents
	@$(VENV)/ruff check --fix .
	@$(VENV)/ruff format .
	@$(VENV)/python -m tests.support.readme
	@$(VENV)/python -m contacts_bridge.asyncapi
	@$(VENV)/python -m contacts_api.micro.asyncapi
check: lint test ## What a change must pass

##@ Project
.PHONY: help setup setup-run lock clean
setup: $(DEV_STAMP) ## Make .venv with everything for development (PYTHON=… picks the Python)
	@:
setup-run: $(if $(wildcard $(DEV_STAMP)),,$(RUN_STAMP))
	@:
lock: ## Renew the lock files from pyproject.toml (UPGRADE=--upgrade for newer versions)
	@python=$$($(find_python)) && test -x .venv-lock/bin/uv || { $$python -m venv .venv-lock && .venv-lock/bin/python -m pip install -q uv; }
	@$(uv_compile) -o deploy/requirements.lock --group build
	@$(uv_compile) -o deploy/requirements-dev.lock --group build --group dev
clean: ## Remove .venv and caches; data folders stay
	rm -rf .venv .venv-lock .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find libs services tests deploy -name __pycache__ -type d -prune -exec rm -rf {} +
help: ## This
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo

# -- how ---------------------------------------------------------------------------------------------------------------

uv_compile = .venv-lock/bin/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header $(UPGRADE)

# The first Python that is new enough. PYTHON=… says which; an explicit one is taken as it is.
find_python = \
	for each in $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11 python); do \
		if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$each"; exit 0; fi; \
	done; \
	echo "No Python 3.11 or newer found$(if $(PYTHON), as $(PYTHON)). Install one, or name it: make PYTHON=/path/to/python3.11 …" >&2; exit 1

$(RUN_STAMP):
	@python=$$($(find_python)) && "$$python" deploy/setup_venv.py deploy/requirements.lock $@
$(DEV_STAMP):
	@python=$$($(find_python)) && "$$python" deploy/setup_venv.py deploy/requirements-dev.lock $@
