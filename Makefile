# The one way to do each thing; every target makes .venv first when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# A process of tests, and each that a test starts, would compile all of this anew where Python is told to keep nothing.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv demo docs images walkthrough test test-engine test-rest test-long check bench speed rates faults

venv: $(STAMP)

# Compiled on all cores, where pip takes one; not the tests of others, a quarter of it all, and what Ray has beside its core,
# which nothing here imports.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m compileall -q -j 0 -x '/(tests?|pip|setuptools)/|torch/testing/_internal|/ray/(air|data|llm|rllib|serve|train|tune)/' .venv/lib >/dev/null 2>&1 || true
	touch $@

demo: venv
	$(BIN)/trimtab demo

docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

images: venv
	$(BIN)/python mkdocs_images.py

walkthrough: venv
	$(BIN)/python -m trimtab.walkthrough.build

# One process of tests for each core (one more was no faster), a file's tests in one of them, in the order of
# tests/conftest.py. The engine's run with the shapes and types of every call checked, which doubles what they take; what
# stands on it goes without, and so do the tests of compiling, which checks nothing of what is called while it is traced.
IN_PROCESSES := -n auto --dist loadfile --no-loadscope-reorder
SHAPES := --jaxtyping-packages=trimtab.training,trimtab.nets,shape_checker.check
WITH_SHAPES := tests/nets tests/training/lanes tests/training/programs tests/training/rules $(wildcard tests/training/test_*.py)
test: test-engine
	$(MAKE) test-rest

test-engine: venv
	$(BIN)/python -m pytest $(IN_PROCESSES) $(SHAPES) $(WITH_SHAPES)

test-rest: venv
	$(BIN)/python -m pytest $(IN_PROCESSES) -m "not long" $(patsubst %,--ignore=%,$(WITH_SHAPES))

# What takes long and changes seldom: clusters for single commands, the notebook, the pages' code, the lab's chapters,
# searches by scripts and in processes of others.
test-long: venv
	$(BIN)/python -m pytest -m long

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check --min-severity error
	$(BIN)/python -m pytest -qq tests/test_import_order.py -k "not names_stay"

bench: venv
	$(BIN)/python -m benchmarks.quality --json benchmarks/quality/quality.jsonl

speed: venv
	$(BIN)/python -m benchmarks.engine --json benchmarks/engine/engine.json

rates: venv
	$(BIN)/python -m benchmarks.sweep --json benchmarks/sweep/sweep.json

faults: venv
	$(BIN)/python -m benchmarks.faults
