# Everything runs in .venv, which is created from the pinned requirements, and updated when they change.
# It needs Python 3.11 or newer, make, and the package registry that pip is configured for, and nothing else.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check --no-input --quiet
# the tests' processes share the cores: each has one BLAS thread, because several of them would wait for each other
PYTEST := MPLBACKEND=Agg OPENBLAS_NUM_THREADS=1 $(PY) -m pytest
# make test WORKERS=0 runs everything in one process. Each file runs as a whole, so that its fixtures are made once;
# the files are started in the order of tests/conftest.py, the longest first
WORKERS ?= 2
SIDE_BY_SIDE := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
UPGRADE ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint format figures docs notebooks book slides lab bench bench-layers bench-scaling bench-compare requirements setup clean

help:          ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/core.stamp  ## install the package and run its demonstration
	$(VENV)/bin/locoprop-ref demo

test: lint     ## check format, lint and types, and run the quick tests
	$(PYTEST) -m "not full" $(SIDE_BY_SIDE)

test-all: test ## make test, and then the long tests, also those with other array libraries
	$(PYTEST) -m "full" $(SIDE_BY_SIDE)

lint: $(VENV)/test.stamp  ## check format, lint and types, without changing any file
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(VENV)/test.stamp  ## format the code, and fix the lint errors that can be fixed automatically
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	$(PY) notebooks/execute.py --text

figures: $(VENV)/core.stamp  ## draw the figures in figures/ again
	$(VENV)/bin/locoprop-ref figures --out figures --overwrite

docs: $(VENV)/core.stamp  ## write the defaults of today into the tables of the documentation
	$(PY) docs/tables.py

notebooks: $(VENV)/test.stamp  ## execute notebooks/*.md, and store them with their outputs as notebooks/*.ipynb
	MPLBACKEND=Agg $(PY) notebooks/execute.py

book: $(VENV)/book.stamp  ## build the book, a site that needs no network, in book/_build/html
	MPLBACKEND=Agg $(PY) -m sphinx -q -W -n -b html book book/_build/html
	@echo "open book/_build/html/index.html"

slides: $(VENV)/book.stamp  ## make slides of the notebooks, which need no network, in book/_build/slides
	$(PY) book/slides.py

lab: $(VENV)/test.stamp  ## open a copy of the notebooks in JupyterLab, at their index, with everything installed
	$(PY) book/lab.py
	$(VENV)/bin/locoprop-ref notebooks --out build/lab
	$(VENV)/bin/jupyter lab build/lab/notebooks/index.ipynb

bench: $(VENV)/bench.stamp  ## time a step in this and in other libraries, and save benchmarks/results/table.* and layers.*
	$(PY) -m benchmarks table --tests
	$(PY) -m benchmarks layers

bench-layers: $(VENV)/bench.stamp  ## the same for convolutions and recurrence alone: benchmarks/results/layers.*
	$(PY) -m benchmarks layers

bench-scaling: $(VENV)/bench.stamp  ## time a step for other sizes, in Gram form, and by its parts
	$(PY) -m benchmarks scaling --rounds 6
	$(PY) -m benchmarks gram
	$(PY) -m benchmarks side-by-side
	$(PY) -m benchmarks profile --rounds 10

bench-compare: $(VENV)/bench.stamp  ## compare the present speed with benchmarks/results/baseline.json, a saved table
	$(PY) -m benchmarks compare

PIN     = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-annotate --custom-compile-command "make requirements" $(UPGRADE)
COMPILE = $(PIN) pyproject.toml --group build

requirements: $(VENV)/test.stamp  ## pin the requirements of pyproject.toml (with UPGRADE=--upgrade: the newest versions)
	$(COMPILE) --extra test --extra dev --output-file requirements/test.txt
	$(COMPILE) --constraints requirements/test.txt --output-file requirements/core.txt
	$(PIN) requirements/book.in --constraints requirements/test.txt --output-file requirements/book.txt

setup: $(VENV)/test.stamp  ## create .venv with the package and all tools that the tests use

clean:         ## remove .venv and all files that can be created again
	rm -rf $(VENV) build dist book/_build book/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The package itself is built by the pinned build backend and installed in place, so edits take effect at once.
INSTALL = $(PIP) install --no-deps --no-build-isolation --editable .

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "locoprop-ref needs Python 3.11 or newer, and '$(PYTHON)' is not: choose another one, as in make PYTHON=python3.12" >&2; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: requirements/core.txt pyproject.toml | $(PY)
	$(PIP) install --require-hashes --requirement requirements/core.txt
	$(INSTALL)
	@touch $@

# The pins of the tests include those of the core, so one installation serves both.
$(VENV)/test.stamp: requirements/test.txt requirements/core.txt pyproject.toml | $(PY)
	$(PIP) install --require-hashes --requirement requirements/test.txt
	$(INSTALL)
	@touch $(VENV)/core.stamp $@

# What builds the book is pinned to the same versions as in the tests' requirements wherever both name a package.
$(VENV)/book.stamp: requirements/book.txt $(VENV)/test.stamp
	$(PIP) install --require-hashes --requirement requirements/book.txt
	@touch $@

# PyTorch is installed first and alone, so that pip takes the CPU build if it is configured to find one.
$(VENV)/bench.stamp: requirements/other-libraries.txt $(VENV)/test.stamp
	$(PIP) install --constraint requirements/other-libraries.txt torch
	$(PIP) install --constraint requirements/other-libraries.txt jax jaxlib locoprop
	@touch $@
