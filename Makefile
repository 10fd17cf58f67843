# Everything goes through one virtual environment; the stamp is remade when what it installs changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := CMakeLists.txt pyproject.toml constraints.txt $(wildcard csrc/*.cpp csrc/*.hpp)

.PHONY: demo test check bench clean

demo: $(STAMP)
	$(BIN)/dsae demo -o demo

# Threads that sleep while they wait: tests also run where other work has the cores.
test check: export OMP_WAIT_POLICY ?= passive

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

bench: $(STAMP)
	$(BIN)/python benchmarks/layer.py

$(STAMP): $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,dev]'
	touch $@

clean:
	rm -rf $(VENV) build demo
