# Every target makes its own .venv from $(PYTHON); a second run installs nothing again.
# A change of pyproject.toml installs again.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST_ARGS ?= -n auto

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format bench docs wheel clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp per set of dependencies. The dev set contains the demo set.
$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	@echo "installing the packages of the demo into $(VENV) (once)"
	$(PIP) --editable '.[viz,graphs]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing the development packages into $(VENV) (once)"
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[docs]'
	@touch $@

demo: $(VENV)/.installed-demo  ## the main job: the H2 curve, MaxCut on 64 graphs, 64 different circuits; tables, two pictures
	$(BIN)/python examples/main_job.py

test: $(VENV)/.installed-dev  ## tests and docstring examples (without those marked slow)
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow"

test-slow: $(VENV)/.installed-dev  ## the tests marked slow
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests -m slow

lint: $(VENV)/.installed-dev  ## ruff (rules and format) and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.installed-dev  ## let ruff format the code and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev  ## us and the peers, in one run of about an hour
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/import_time.py

docs: $(VENV)/.installed-docs  ## the documentation, into site/
	$(BIN)/mkdocs build --quiet

wheel: $(VENV)/.installed-dev  ## source distribution and wheel, into dist/
	$(BIN)/python -m build

clean:  ## remove the environment, caches and everything built
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
