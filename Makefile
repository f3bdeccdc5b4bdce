# make speak   set up .venv and write a spoken sentence to hello.wav
# make test    set up .venv and run everything that must pass before a commit
# make         list all targets
#
# Variables: PYTHON (3.10 to 3.13; default python3), VENV (default .venv), JOBS (test processes; default 2), and
# TORCH_INDEX, a package index with CPU builds of torch, for the targets that need torch: test, docs, lint, build. Without
# it, torch from PyPI downloads gigabytes of CUDA libraries on Linux, even without a GPU. speak and serve do without torch.

PYTHON ?= python3
VENV ?= .venv
PUBLISHED ?= .venv-published
TORCH_INDEX ?=
JOBS ?= 2
DEMO ?= build/demo
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
SENTENCE := The quick brown fox jumps over the lazy dog.
MAX_WHEEL_MB := 100

.DEFAULT_GOAL := help
.PHONY: help speak serve setup-serve test test-slow test-page test-published graphs demo notebook docs lint format build clean
.DELETE_ON_ERROR:

help:
	@echo "make speak           set up $(VENV) and write a spoken sentence to hello.wav"
	@echo "make serve           set up $(VENV) and serve at http://127.0.0.1:8000"
	@echo "make test            set up $(VENV) and run the linters, the type checker, the docs, the tests and the notebook"
	@echo "make test-slow       run the slow tests"
	@echo "make test-page       test the server's page in Chromium (see CONTRIBUTING.md)"
	@echo "make test-published  compare with the published packages, in $(PUBLISHED)"
	@echo "make demo            build the page that speaks in the browser in build/demo (needs npm)"
	@echo "make graphs          write the ONNX graphs of the bundled model again, after its architecture has changed"
	@echo "make notebook        run the notebook only"
	@echo "make docs            build the documentation in site/"
	@echo "make lint            run ruff and mypy only"
	@echo "make format          apply ruff's formatter and safe fixes"
	@echo "make build           build the wheel in dist/ and check its size"
	@echo "make clean           remove $(VENV), $(PUBLISHED), dist/, site/ and caches"

speak: $(VENV)/.base
	$(BIN)/vivavoce speak "$(SENTENCE)" --voice nash --seed 1 --output hello.wav

serve: setup-serve
	$(BIN)/vivavoce serve

# used by the Dockerfile
setup-serve: $(VENV)/.serve

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
	$(BIN)/python -m pytest --nbmake notebooks

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

test-page: $(VENV)/.page
	$(BIN)/python -m pytest -m slow tests/serve/test_page.py tests/demo

test-published: $(PUBLISHED)/.published
	$(PUBLISHED)/bin/python -m pytest tests/checkpoints/test_published.py tests/checkpoints/test_published_whisperspeech.py

demo: $(VENV)/.base
	$(BIN)/python docs/demo/build.py $(DEMO)

graphs: $(VENV)/.test
	rm -rf vivavoce/assets/onnx
	$(BIN)/vivavoce export nanospeech vivavoce/assets/onnx --format onnx --no-weights

notebook: $(VENV)/.test
	$(BIN)/python -m pytest --nbmake notebooks

docs: $(VENV)/.test
	$(BIN)/mkdocs build --strict

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(VENV)/.test
	rm -rf dist
	$(BIN)/hatchling build -t wheel
	@ls -l dist/*.whl | awk '{ mb = $$5 / 1e6; printf "%s: %.1f MB\n", $$NF, mb; \
	  if (mb >= $(MAX_WHEEL_MB)) { print "the wheel must stay under $(MAX_WHEEL_MB) MB"; exit 1 } }'

clean:
	rm -rf $(VENV) $(PUBLISHED) build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis hello.wav speech.wav
	find vivavoce tests benchmarks recipes -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV)/.base: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "vivavoce needs Python 3.10 to 3.13, but $(PYTHON) is not on PATH. Choose one: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "vivavoce needs Python 3.10 to 3.13; $(PYTHON) is `$(PYTHON) -V 2>&1`. Choose another: make PYTHON=/path/to/python"; \
	  exit 1; }
	@echo "setting up $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

# torch is installed first and alone, so that its build is chosen in one place
$(VENV)/.torch: $(VENV)/.base
	@echo "installing torch; this takes a few minutes the first time"
	@if [ "`uname -s`" = Linux ] && ! command -v nvidia-smi >/dev/null; then \
	  echo "TORCH_INDEX=https://download.pytorch.org/whl/cpu takes a build without CUDA"; \
	  $(PIP) install -q -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch; \
	fi
	$(PIP) install -q -c constraints.txt -e '.[torch]'
	@touch $@

$(VENV)/.serve: $(VENV)/.base
	$(PIP) install -q -c constraints.txt -e '.[serve]'
	@touch $@

$(VENV)/.test: $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e '.[train,onnx-export,serve,client,wyoming,announce,mcp,documents,aac,parquet,docs,notebook,test,mlx]'
	@touch $@

$(VENV)/.page: $(VENV)/.test
	$(PIP) install -q -c constraints.txt -e '.[browser-test]'
	@touch $@

# The published packages want old versions of what the tests use, so they get an environment of their own. The compiled
# part of torchaudio does not load beside a CPU build of torch; its transforms, which vocos uses, work without it.
$(PUBLISHED)/.published: pyproject.toml constraints.txt tests/checkpoints/published.txt
	$(MAKE) --no-print-directory VENV=$(PUBLISHED) $(PUBLISHED)/.torch
	$(PUBLISHED)/bin/python -m pip install -q -c constraints.txt -e '.[test]' matplotlib pandas scipy tqdm webdataset
	$(PUBLISHED)/bin/python -m pip install -q --no-deps -r tests/checkpoints/published.txt
	find $(PUBLISHED) -path '*/torchaudio/lib/*.so' -delete
	@touch $@
