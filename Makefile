# Every target does all the set-up it needs.
PYTHON ?= python3
BIN := .venv/bin
DISTRIBUTIONS := core $(wildcard plugins/*)
EDITABLE := $(foreach folder,$(DISTRIBUTIONS),-e ./$(folder))
EXAMPLES := $(foreach file,$(wildcard examples/*/pyproject.toml),-e ./$(dir $(file)))

.PHONY: demo test slow lint docs wheels clean
demo: .venv/runtime
	$(BIN)/python examples/demo/demo.py demo

test: .venv/development
	$(BIN)/python -m pytest -n 2 --dist loadfile

slow: .venv/development
	$(BIN)/python -m pytest -m slow

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(foreach folder,$(DISTRIBUTIONS),$(folder)/src)
	$(BIN)/lint-imports

docs: .venv/development
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

wheels: .venv/development
	rm -rf dist
	for folder in $(DISTRIBUTIONS); do $(BIN)/python -m build --wheel --outdir dist $$folder || exit 1; done

clean:
	rm -rf .venv demo dist docs/_build

.venv/runtime: $(foreach folder,$(DISTRIBUTIONS),$(folder)/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "csstcore needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(EDITABLE)
	touch $@

.venv/development: .venv/runtime pyproject.toml
	$(BIN)/python -m pip install --quiet --group development $(EXAMPLES)
	touch $@
