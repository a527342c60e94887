# What a person or CI runs, on a machine that has only make and Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# Tests run one to a core, each with one thread. WORKERS=0 keeps them in one process, as a debugger wants it.
WORKERS ?= auto

python := $(VENV)/bin/python
# Stamps: what is installed for using and for developing, as pyproject.toml was then.
library := $(VENV)/.installed
tools := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help train test test-slow test-gpu lint check build clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

train: $(library) ## install if need be and train the default recipe on the CPU (ARGS="seed=1 ..." changes it)
	$(python) -m ganlab.train experiment=quickstart $(ARGS)

test: $(tools) ## run the fast tests (ARGS="tests/losses -x" passes on to pytest)
	$(python) -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal $(ARGS)

test-slow: $(tools) ## run the tests that take minutes
	$(python) -m pytest -m 'slow and not gpu and not network' $(ARGS)

test-gpu: $(tools) ## run the tests that need a CUDA device
	$(python) -m pytest -m gpu $(ARGS)

lint: $(tools) ## check format, style and types
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy

check: lint test ## everything a change must pass

build: $(tools) ## make the wheel and the source archive in dist/
	$(python) -m build --no-isolation

clean: ## remove caches and builds; environment and runs stay
	rm -rf dist build .pytest_cache .ruff_cache .mypy_cache
	find ganlab tests -name __pycache__ -prune -exec rm -rf {} +

$(library): pyproject.toml
	$(call install,.)
	@touch $@

$(tools): pyproject.toml
	$(call install,.[dev])
	@touch $(library) $@

# Both faults below would otherwise end in a page of somebody else's words.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "ganlab needs Python 3.11 or newer, '$(PYTHON)' is $$(command -v $(PYTHON) >/dev/null && $(PYTHON) -V 2>&1 || echo missing): name another, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing ganlab and its libraries into $(VENV): once, some minutes, 6 GB on Linux; what happens is in $(VENV)/install.log"
	@$(python) -m pip install --disable-pip-version-check --no-input --editable '$(1)' >$(VENV)/install.log 2>&1 || { \
	  tail -n 12 $(VENV)/install.log >&2; echo "pip failed: the whole of $(VENV)/install.log says why" >&2; exit 1; }
endef
