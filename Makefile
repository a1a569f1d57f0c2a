# The commands of this repository; `make help` lists them.
# Everything is installed into .venv, with the exact versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
FOLDERS := strategies server client simulations

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo bench test check lint typing docs format constraints clean

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: $(VENV)/.installed  ## run a real federation on this machine, with one hostile member
	@$(BIN)/quickthorn demo

bench: $(VENV)/.installed  ## time every rule beside Flower's own and numpy
	@$(BIN)/quickthorn bench

test: lint  ## run everything that `check` runs, and every other test
	$(BIN)/python -m pytest

check: lint docs  ## lint, types, import rules and documentation

lint: $(VENV)/.installed-dev typing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.typing $(BIN)/lint-imports --no-logo

docs: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q tests/docs tests/unit/test_doctests.py

format: $(VENV)/.installed-dev  ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The folders under their import names, for tools that do not run the editable install's hook.
typing:
	@mkdir -p .typing/quickthorn
	@for folder in $(FOLDERS); do ln -sfn ../../$$folder .typing/quickthorn/$$folder; done

# torch comes first and by its exact version, so that no other package chooses a build of it.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Quickthorn needs Python 3.11 or newer; '$(PYTHON)' is" \
	        "$$($(PYTHON) --version 2>&1 || true)." \
	        "Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "Installing what Quickthorn runs on into $(VENV); this takes a few minutes once."
	@$(INSTALL) "$$(grep '^torch==' constraints.txt)"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the development tools into $(VENV)."
	@$(INSTALL) --editable '.[dev]'
	@touch $@

# Resolves everything anew in an environment of its own; torch keeps its version.
constraints:  ## choose the newest versions that pyproject.toml allows
	@rm -rf .venv-constraints && $(PYTHON) -m venv .venv-constraints
	@.venv-constraints/bin/pip install --quiet "$$(grep '^torch==' constraints.txt)"
	@.venv-constraints/bin/pip install --quiet '.[dev]'
	@{ sed -n '/^#/p' constraints.txt; \
	    .venv-constraints/bin/python -m pip list --format=freeze --exclude pip --exclude quickthorn \
	        | sed 's/+.*//'; } > constraints.new
	@mv constraints.new constraints.txt
	@rm -rf .venv-constraints build

clean:  ## remove what the commands above made, .venv included
	rm -rf $(VENV) .venv-constraints .typing .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf .import_linter_cache build dist *.egg-info
	find $(FOLDERS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
