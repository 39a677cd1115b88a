# The one way to do each thing; every target makes .venv first when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: venv demo test check bench speed walkthrough

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: venv
	$(BIN)/trimtab demo

test: venv
	$(BIN)/python -m pytest

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest --quiet tests/test_import_order.py

bench: venv
	$(BIN)/python benchmarks/quality.py --json benchmarks/quality.jsonl

speed: venv
	$(BIN)/python benchmarks/engine.py --json benchmarks/engine.json

walkthrough: venv
	$(BIN)/python -m trimtab.walkthrough.build
