# make demo         quantize, compile, simulate and profile examples/digits: one table
# make test         lint, types and tests (what CI runs)
# make conformance  whole networks at full size, half an hour long; K='unet or dpn' selects
# make fuzz         whole commands and readers with mutated files, for two hours at most;
#                   COMMANDS=10000 INPUTS=1000000 SECONDS=3600 SEED=1
# make fuzz-runtime the runtime in C with libFuzzer; SECONDS=3600
# make lint         ruff and mypy only
# make browser      what the tests of pages need beside Debian's chromium and node
# Any of them sets up .venv first. PYTHON=python3.12 takes another Python (3.10 to 3.12).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PADDLE := .venv-paddle
TORCH  := .venv-torch
# all that is installed, with hashes, for the Python that is taken
LOCK   := requirements-ci-py$(shell $(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])' 2>/dev/null).lock

# compiled once for all the processes of a run, also where the user wants no __pycache__
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help check-tools demo test conformance fuzz fuzz-runtime lint format browser clean

help:
	@sed -n '/^#/!q; s/^# //p' Makefile

# One sentence per missing tool, naming the Debian package. `import ensurepip` is what fails where
# Debian's python3-venv is missing; `python3 -m venv` would leave half an environment behind.
check-tools:
	@$(if $(shell command -v git),,$(error git is missing: install it with "apt-get install git"))
	@$(if $(shell command -v $(PYTHON)),,$(error $(PYTHON) is missing: install it with "apt-get install $(notdir $(PYTHON))"))
	@$(if $(shell $(PYTHON) -c 'import sys; print(sys.version_info >= (3, 10) or "")'),,$(error $(PYTHON) must be Python 3.10 or newer, not $(shell $(PYTHON) -V 2>&1): install one with "apt-get install python3.11" and call make PYTHON=python3.11))
	@$(if $(shell $(PYTHON) -c 'import ensurepip, venv; print(1)' 2>/dev/null),,$(error $(notdir $(PYTHON))-venv is missing: install it with "apt-get install $(notdir $(PYTHON))-venv"))

# The stamps say which set of packages the environment holds; a changed pyproject.toml or lock file
# installs again. An environment that pip could not finish has no stamp and is completed next time.
$(VENV)/.base: pyproject.toml $(LOCK) | check-tools
	@echo "Setting up $(VENV) ..."
	@test -e $@ || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r $(LOCK)
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# the lock holds the tools of development too
$(VENV)/.dev: $(VENV)/.base
	@touch $@

demo: $(VENV)/.base
	@$(BIN)/python examples/digits/demo.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The interpreter that makes the networks' weights: Paddle beside knightlite's paddle2onnx would
# hide what works without it, and PaddleClas wants old versions of everything.
$(PADDLE)/.zoo: requirements-ci.lock | check-tools
	@echo "Setting up $(PADDLE) ..."
	@test -e $@ || $(PYTHON) -m venv $(PADDLE)
	@$(PADDLE)/bin/python -m pip --disable-pip-version-check --quiet install -c requirements-ci.lock paddlepaddle==3.3.1 onnx packaging
	@$(PADDLE)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps paddleclas==2.6.0 paddle2onnx==2.1.0
	@touch $@

# Paddle 2 saves the programs that most users have: tests/conformance/test_layer_forms.py
$(PADDLE)2/.zoo: requirements-ci.lock | check-tools
	@echo "Setting up $(PADDLE)2 ..."
	@test -e $@ || $(PYTHON) -m venv $(PADDLE)2
	@$(PADDLE)2/bin/python -m pip --disable-pip-version-check --quiet install -c requirements-ci.lock paddlepaddle==2.6.2 setuptools
	@touch $@

# tests/conformance/test_torch_projects.py; several GB
$(TORCH)/.zoo: requirements-ci.lock | check-tools
	@echo "Setting up $(TORCH) ..."
	@test -e $@ || $(PYTHON) -m venv $(TORCH)
	@$(TORCH)/bin/python -m pip --disable-pip-version-check --quiet install -c requirements-ci.lock torch==2.14.1 torchvision==0.29.1 onnx onnxscript pillow
	@touch $@

conformance: $(VENV)/.dev $(PADDLE)/.zoo $(PADDLE)2/.zoo $(TORCH)/.zoo
	$(BIN)/python -m pytest -rs -m conformance tests/conformance $(if $(K),-k '$(K)') \
		--conformance-json build/conformance.json $(OPTIONS)

fuzz: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m fuzz --inputs $(or $(INPUTS),1000000) \
		--commands $(or $(COMMANDS),10000) \
		--seconds $(or $(SECONDS),3600) --seed $(or $(SEED),1)

# pinned with hashes by tests/browser/package-lock.json; no script of a package runs
browser:
	@mkdir -p build/browser
	@cp tests/browser/package.json tests/browser/package-lock.json build/browser
	@cd build/browser && npm ci --ignore-scripts --no-audit --no-fund

# The runtime in C with clang's libFuzzer: files are read for a third of the time, run for the rest.
# Its corpus then is that of tests/test_runtime_corpus.py. Comparisons are not traced, which takes most
# of the time: the target's mutator knows the format. What only reads files does not count as new in
# what runs, or most inputs would be refused. Debian: clang-14, libclang-rt-14-dev
CLANG ?= clang-14
FUZZED = tests/runtime_fuzzer.c tests/runtime_mutator.c $(filter-out %/knl_sha256.c,$(wildcard knightlite/runtime/*.c))
fuzz-runtime: $(VENV)/.dev
	mkdir -p build/runtime_corpus
	PYTHONPATH=tests $(BIN)/python tests/runtime_seeds.py build/runtime_seeds
	rm -rf build/runtime_kept && cp -r build/runtime_seeds build/runtime_kept
	for what in LOADER CHECKED; do $(CLANG) -std=c99 -g -O2 -fsanitize=fuzzer,address,undefined,float-cast-overflow \
		$$(test $$what = LOADER || echo -fsanitize-coverage-ignorelist=tests/runtime_uncounted.txt) \
		-fno-sanitize-coverage=trace-cmp -fno-sanitize-recover=all -D$$what -Iknightlite/runtime $(FUZZED) -o build/fuzz_$$what || exit 1; done
	ASAN_OPTIONS=quarantine_size_mb=1:malloc_context_size=0 build/fuzz_LOADER -max_len=13000 -timeout=10 -max_total_time=$$(($(or $(SECONDS),3600) / 3)) \
		build/runtime_corpus build/runtime_seeds
	ASAN_OPTIONS=quarantine_size_mb=1:malloc_context_size=0 build/fuzz_CHECKED -entropic=0 -max_len=13000 -timeout=20 -max_total_time=$$(($(or $(SECONDS),3600) * 2 / 3)) \
		build/runtime_corpus build/runtime_seeds
	for what in CHECKED LOADER; do build/fuzz_$$what -use_counters=0 -max_len=13000 -merge=1 build/runtime_kept build/runtime_corpus || exit 1; done
	PYTHONPATH=tests $(BIN)/python tests/runtime_seeds.py --keep build/runtime_kept

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(PADDLE) $(PADDLE)2 $(TORCH) build dist demo-out .mypy_cache .pytest_cache .ruff_cache .hypothesis
