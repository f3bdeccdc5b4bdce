# make speak   sets up .venv and leaves a spoken sentence in hello.wav
# make test    sets up .venv with the extras that the tests need; ruff, mypy, the fast tests and the notebook
# make         lists the rest
#
# Variables: PYTHON (3.10 to 3.13; default python3), VENV (default .venv), and TORCH_INDEX, a package index with the CPU
# builds of torch: without one, and on a Linux machine without an NVIDIA GPU, PyPI's torch brings gigabytes of CUDA.

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
SENTENCE := The quick brown fox jumps over the lazy dog.
MAX_WHEEL_MB := 100

.DEFAULT_GOAL := help
.PHONY: help speak serve setup-serve test test-slow test-page notebook docs lint format build clean
.DELETE_ON_ERROR:

help:
	@echo "make speak      set up and leave a spoken sentence in hello.wav"
	@echo "make serve      set up and serve at http://127.0.0.1:8000"
	@echo "make test       set up and run ruff, mypy, the fast tests and the notebook"
	@echo "make test-slow  the slow tests"
	@echo "make test-page  the server's page in a Chromium (see CONTRIBUTING.md)"
	@echo "make notebook   the notebook alone"
	@echo "make docs       the documentation, in site/"
	@echo "make lint       ruff and mypy alone"
	@echo "make format     ruff's formatter and safe fixes"
	@echo "make build      the wheel, in dist/, and its size checked"
	@echo "make clean      remove $(VENV), dist/ and caches"

speak: $(VENV)/.base
	$(BIN)/vivavoce speak "$(SENTENCE)" --voice nash --seed 1 --output hello.wav

serve: setup-serve
	$(BIN)/vivavoce serve

# what the Dockerfile needs
setup-serve: $(VENV)/.serve

test: lint
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest --nbmake notebooks

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

test-page: $(VENV)/.page
	$(BIN)/python -m pytest -m slow tests/test_page.py

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
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis hello.wav speech.wav
	find vivavoce tests benchmarks recipes -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# torch goes first and alone, so that the choice of its build is made in one place
$(VENV)/.base: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "vivavoce needs Python 3.10 to 3.13, and there is no $(PYTHON) here. Name one: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "vivavoce needs Python 3.10 to 3.13; $(PYTHON) is `$(PYTHON) -V 2>&1`. Name another: make PYTHON=/path/to/python"; \
	  exit 1; }
	@echo "setting up $(VENV) (minutes the first time; most of it is torch)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q --upgrade pip
	@if [ "`uname -s`" = Linux ] && ! command -v nvidia-smi >/dev/null; then \
	  echo "installing torch for the CPU"; \
	  $(PIP) install -q -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch; \
	fi
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.serve: $(VENV)/.base
	$(PIP) install -q -c constraints.txt -e '.[serve]'
	@touch $@

$(VENV)/.test: $(VENV)/.base
	$(PIP) install -q -c constraints.txt -e '.[train,serve,aac,docs,notebook,test,mlx]'
	@touch $@

$(VENV)/.page: $(VENV)/.test
	$(PIP) install -q -c constraints.txt -e '.[browser-test]'
	@touch $@
