# Two commands do everything on a fresh machine: `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench docs clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread per process: the tests and benchmarks share few cores.
RUN := OMP_NUM_THREADS=1

help: ## say what there is
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Made again whenever what should be installed has changed.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fermion needs Python >= 3.11; set PYTHON=python3.12, say")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,cloud,test]'
	@touch $@

setup: $(VENV)/.ready ## make the virtual environment .venv

demo: setup ## train the digits project, serve it, send one real request, stop
	$(BIN)/python -m fermion run projects/digits/fermion.yaml
	$(BIN)/python projects/digits/ask.py

test: setup ## run every test
	$(RUN) $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadscope

check: setup ## static checks: style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: setup ## run the benchmarks that take minutes (see benchmarks/README.md)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(RUN) $(BIN)/python benchmarks/all.py

docs: setup ## build the documentation into site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --strict

clean: ## remove what was built
	rm -rf $(VENV) site dist build .pytest_cache .ruff_cache projects/*/.fermion
