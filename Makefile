# make demo: the main job on a small scale, from nothing to a table and pictures.
# make test: the tests.
# make docs: the site, in docs/_build/html.
# make notebooks: run the notebooks in docs/notebooks in full, and store their outputs.
# make weights RUNS='encoder=RUN classify=RUN ...': pack finished runs as the weights that ship.
# All set up a virtual environment in .venv first; nothing outside this folder is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Byte code is compiled below for what the commands import, and not for all of torch: half a minute
# less to wait. It is kept even where the environment tells Python not to write any, since without
# it every command starts twice as slowly.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-compile --quiet
COMPILE := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c
COMMANDS := import cli, learn.audit, learn.demo, learn.compare.run_tier, learn.methods.dino, learn.methods.physics_ijepa, learn.inference.evaluate, \
	learn.inference.export, learn.inference.predict, learn.reporting.report, learn.tasks.classify, \
	learn.tasks.find, learn.tasks.regress, learn.tasks.superres, simulate.backends.lenstronomy, \
	simulate.backends.torch, simulate.dataset.inspection, simulate.importers.run, simulate.run

.PHONY: demo test docs notebooks lint weights setup setup-dev clean

demo: $(VENV)/.installed
	$(BIN)/python cli.py demo

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: $(VENV)/.installed-dev
	$(BIN)/python docs/run_notebooks.py

lint: $(VENV)/.installed-dev
	$(BIN)/pre-commit run --all-files

weights: $(VENV)/.installed
	$(BIN)/python -m learn.weights.pack $(RUNS)

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing (torch is large: this takes a few minutes the first time)"
	$(PIP) --editable .
	@$(COMPILE) '$(COMMANDS)'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: pyproject.toml $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) demo docs/_build docs/generated
