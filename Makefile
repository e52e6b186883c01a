# Everything runs in .venv, made once from the pinned requirements and again when they change.
# Wants Python 3.11 or newer, make, and the package registry that pip is set up for; nothing else.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check --no-input --quiet
PYTEST := MPLBACKEND=Agg $(PY) -m pytest
# make test WORKERS=0 runs everything in one process; each file runs as a whole, so that its fixtures are made once
WORKERS ?= 2
UPGRADE ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint format figures notebooks lab bench bench-scaling bench-compare requirements setup clean

help:          ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/core.stamp  ## install the package and run its demonstration
	$(VENV)/bin/locoprop-ref demo

test: lint     ## check format, lint, types, and run the quick tests
	$(PYTEST) -m "not full" --numprocesses $(WORKERS) --dist loadfile

test-all: lint ## check format, lint, types, and run every test, with the other array libraries installed
	$(PYTEST)

lint: $(VENV)/test.stamp  ## check format, lint and types, changing nothing
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(VENV)/test.stamp  ## format the code, and mend the lint that mends itself
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	$(PY) notebooks/execute.py --text

figures: $(VENV)/core.stamp  ## draw the figures of the README again
	$(VENV)/bin/locoprop-ref figures --out figures

notebooks: $(VENV)/test.stamp  ## execute notebooks/*.md into notebooks/*.ipynb, outputs stored
	MPLBACKEND=Agg $(PY) notebooks/execute.py

lab: $(VENV)/test.stamp  ## open the notebooks in JupyterLab, everything installed
	$(VENV)/bin/jupyter lab notebooks

bench: $(VENV)/bench.stamp  ## time a step beside other libraries, over its products; save benchmarks/results/table.*
	$(PY) -m benchmarks table --tests

bench-scaling: $(VENV)/bench.stamp  ## width, depth, batch, K; the Gram form of LocoProp-S; where the time of a step goes
	$(PY) -m benchmarks scaling --rounds 6
	$(PY) -m benchmarks gram
	$(PY) -m benchmarks profile --rounds 10

bench-compare: $(VENV)/bench.stamp  ## compare with benchmarks/results/baseline.json, a saved table
	$(PY) -m benchmarks compare

COMPILE = $(VENV)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
          --no-annotate --custom-compile-command "make requirements" --group build $(UPGRADE)

requirements: $(VENV)/test.stamp  ## pin what pyproject.toml asks for (make requirements UPGRADE=--upgrade: the newest)
	$(COMPILE) --extra test --extra dev --output-file requirements/test.txt
	$(COMPILE) --constraints requirements/test.txt --output-file requirements/core.txt

setup: $(VENV)/test.stamp  ## make .venv with the package and every tool that the tests use

clean:         ## remove .venv and everything that is made again
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The package itself is built by the pinned build backend and installed in place: an edit needs no new set-up.
INSTALL = $(PIP) install --no-deps --no-build-isolation --editable .

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "locoprop-ref needs Python 3.11 or newer, and '$(PYTHON)' is not: name one, as in make PYTHON=python3.12" >&2; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: requirements/core.txt pyproject.toml | $(PY)
	$(PIP) install --require-hashes --requirement requirements/core.txt
	$(INSTALL)
	@touch $@

# The tests' pins hold those of the core: one installation serves both.
$(VENV)/test.stamp: requirements/test.txt requirements/core.txt pyproject.toml | $(PY)
	$(PIP) install --require-hashes --requirement requirements/test.txt
	$(INSTALL)
	@touch $(VENV)/core.stamp $@

# PyTorch first and by itself, so that pip takes the CPU build where it is set up to find one.
$(VENV)/bench.stamp: requirements/other-libraries.txt $(VENV)/test.stamp
	$(PIP) install --constraint requirements/other-libraries.txt torch
	$(PIP) install --constraint requirements/other-libraries.txt jax jaxlib locoprop
	@touch $@
