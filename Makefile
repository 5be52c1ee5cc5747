# Two commands set everything up: `make demo` and `make test`. The rest is for people who work on it.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv/.peers
ORACLE := .oracle
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench zoo oracle figures clean

demo: $(READY)
	$(BIN)/edgewise demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Side by side with other tools; needs the extra [peers]. The detector takes half an hour.
bench: $(PEERS)
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.qat_steps
	$(BIN)/python -m benchmarks.detector

# Networks that nobody here wrote; needs the extra [zoo].
zoo: $(READY)
	$(PIP) --constraint constraints.txt --editable '.[zoo]'
	$(BIN)/python -m benchmarks.zoo

# Our TFLite files against those of another converter, which has an interpreter of its own.
oracle: $(READY) $(ORACLE)/.ready
	$(BIN)/python -m pytest -m oracle

# Tables and pictures in README and docs, from the records.
figures: $(READY)
	$(BIN)/python -m docs.figures

# torch first and exactly: a range would admit builds with gigabytes of GPU libraries.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) torch==2.13.0
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

$(PEERS): $(READY)
	$(PIP) --constraint constraints.txt --editable '.[peers]'
	touch $@

$(ORACLE)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(ORACLE)
	grep -v typing_extensions constraints.txt > $(ORACLE)/constraints.txt
	$(ORACLE)/bin/python -m pip install --quiet torch==2.13.0
	$(ORACLE)/bin/python -m pip install --quiet --constraint $(ORACLE)/constraints.txt '.[oracle]'
	touch $@

clean:
	rm -rf .venv .oracle demo-out
