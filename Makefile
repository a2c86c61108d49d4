# Every target creates what it needs; only python3 (3.11 or newer), make and git have to be there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test lint format bench gpu audit calibration checkers experiments schema gallery clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

demo: $(VENV)/.runtime  ## check the van der Pol oscillator and write a report
	$(BIN)/node-diag check vanderpol --rtol 1e-5

test: $(VENV)/.dev  ## run the tests
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.dev  ## format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev  ## compare speed side by side and write docs/benchmarks.md and docs/scaling.md
	$(PIP_INSTALL) -e '.[bench]'
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.scaling

gpu: $(VENV)/.dev  ## gradients at the batch sizes people train with, on a GPU; writes docs/gpu_benchmarks.md
	$(BIN)/python -m tests.bench.device

calibration: $(VENV)/.dev  ## hold the references' uncertainties against true errors and write docs/calibration.md
	$(BIN)/python -m tests.calibration

audit: $(VENV)/.dev  ## run every method, ours and the libraries', on published problems and write their pages
	$(BIN)/python -m tests.audit
	$(BIN)/python -m tests.oracle

checkers: $(VENV)/.dev  ## let other gradient checkers judge the same gradients and write docs/checkers.md
	$(PIP_INSTALL) -e '.[checkers]'
	$(BIN)/python -m tests.checkers

experiments: $(VENV)/.dev  ## run the published experiments again and write docs/experiments
	$(BIN)/node-diag reproduce --all --report-dir reports/reproduce
	$(BIN)/python -m tests.experiments reports/reproduce docs/experiments

schema: $(VENV)/.dev  ## write docs/report.schema.json from the models
	$(BIN)/python -c "import json; from node_diag.records import json_schema; print(json.dumps(json_schema(), indent=1, ensure_ascii=False))" > docs/report.schema.json

gallery: $(VENV)/.runtime  ## redraw the pictures the README shows
	$(BIN)/node-diag check vanderpol --rtol 1e-5 --report png --report-dir reports/gallery/run --force
	mkdir -p reports/gallery/vanderpol
	mv reports/gallery/run/figures/trajectory.png reports/gallery/run/figures/gradient_error.png reports/gallery/vanderpol/
	rm -rf reports/gallery/run

clean:  ## remove what the targets above created
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit("node-diag needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.runtime: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[dev]'
	touch $@ $(VENV)/.runtime
