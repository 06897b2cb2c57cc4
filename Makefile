# From nothing: `make test` and `make demo` each create .venv, install what they need and run.
#   make demo PYTHON=python3.12      another interpreter (3.11 or later)
#   make test VENV=/tmp/redaes-venv  another place for the environment

PYTHON ?= python3
VENV ?= .venv
DEMO_OUT ?= demo_out
PYTEST_ARGS ?=
# Processes that share the tests, each with one thread; 0: all in one.
WORKERS ?= 2
# The newest versions that pyproject.toml allows, beside the pinned ones.
NEWEST_VENV ?= .venv-newest

BIN := $(VENV)/bin
PY := $(BIN)/python
NOT_HERE := -m "not slow and not browser and not gpu and not vllm and not transformers4"
# A file's tests stay together, because they share what they train; tests/conftest.py says in which order files begin.
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# What trains, saves, resumes and loads: where a new version of the libraries would show first.
STAGE_TESTS := $(addprefix tests/integration/test_,stages.py grpo.py processes.py sft.py checks.py losses.py local_backend.py nano.py \
	resume.py validated.py chat.py defaults.py lora.py estimate.py model_files.py)
DOCTESTS := $(shell grep -rlE '^ *>>> ' --include='*.py' redaes)

export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help demo test lint format test-unit test-integration test-e2e test-packaging test-slow test-browser test-newest doctest \
	docs dist release clean distclean

help:
	@echo "make demo       install, then run the whole path on a few photographs into $(DEMO_OUT)/"
	@echo "make test       install, then lint, types and all tests that need no GPU"
	@echo "make lint       ruff and mypy"
	@echo "make format     rewrite the sources in the one format"
	@echo "make test-unit  also test-integration, test-e2e, test-packaging, doctest"
	@echo "make test-slow    the tests that take more than a minute each, and those of pages in a Chromium (about an hour)"
	@echo "make test-browser the tests of pages in a Chromium alone; apt-get install chromium, or dnf install chromium"
	@echo "make test-newest  the stages with the newest versions that are allowed, in $(NEWEST_VENV)/"
	@echo "make docs       the documentation as pages, into site/index.html; every link is checked"
	@echo "make dist       wheel and sdist into dist/; make release checks first what a release needs (docs/releasing.md)"
	@echo "make clean      remove caches and builds; make distclean removes $(VENV) too"

# --- environment -------------------------------------------------------------------------------------------

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or later is needed here: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# The stamps are newer than what they were installed from, or the installation is repeated.
$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --compile -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --compile -c constraints.txt -e '.[all,dev]'
	@touch $@

$(VENV)/.installed-browser: $(VENV)/.installed-test
	$(PY) -m pip install --compile -c constraints.txt -e '.[browser]'
	@touch $@

# --- work --------------------------------------------------------------------------------------------------

demo: $(VENV)/.installed-demo
	$(BIN)/redaes demo --out $(DEMO_OUT)

lint: $(VENV)/.installed-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.installed-test
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

doctest: $(VENV)/.installed-test
	$(PY) -m pytest --doctest-modules $(DOCTESTS) $(PYTEST_ARGS)

test-unit test-integration test-e2e test-packaging: test-%: $(VENV)/.installed-test
	$(PY) -m pytest $(NOT_HERE) $(PARALLEL) tests/$* $(PYTEST_ARGS)

test: $(VENV)/.installed-test
	$(MAKE) --no-print-directory -j $(if $(filter 0 1,$(WORKERS)),1,2) lint doctest
	$(PY) -m pytest $(NOT_HERE) $(PARALLEL) tests/unit tests/integration tests/e2e tests/packaging $(PYTEST_ARGS)

# A Chromium is looked for before an hour of tests, not after.
test-slow: $(VENV)/.installed-browser
	$(PY) tests/integration/chromium.py
	$(PY) -m pytest -m "(slow or browser) and not gpu and not vllm and not transformers4" $(PARALLEL) tests $(PYTEST_ARGS)

test-browser: $(VENV)/.installed-browser
	$(PY) tests/integration/chromium.py
	$(PY) -m pytest -m browser tests/integration $(PYTEST_ARGS)

# torch stays at the pinned version: its size is most of the installation.
test-newest:
	test -x $(NEWEST_VENV)/bin/python || $(PYTHON) -m venv $(NEWEST_VENV)
	grep -E '^torch(vision)?==' constraints.txt > $(NEWEST_VENV)/torch.txt
	$(NEWEST_VENV)/bin/python -m pip install --compile --upgrade --upgrade-strategy eager -c $(NEWEST_VENV)/torch.txt -e '.[all,dev]'
	$(NEWEST_VENV)/bin/python -m pytest $(NOT_HERE) $(PARALLEL) $(STAGE_TESTS) $(PYTEST_ARGS)

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --compile -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs
	$(PY) release/site_pages.py build/docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

dist: $(VENV)/.installed-test
	rm -rf dist
	$(PY) -m build --no-isolation --outdir dist .

# Nothing is uploaded and no tag is set: docs/releasing.md says what follows.
release: $(VENV)/.installed-test
	$(PY) release/checks.py
	$(MAKE) --no-print-directory test
	$(MAKE) --no-print-directory dist
	$(PY) release/checks.py --dist dist

clean:
	rm -rf build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . \( -name .git -o -path './$(VENV)' -o -path './$(NEWEST_VENV)' \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) $(NEWEST_VENV) $(DEMO_OUT)
