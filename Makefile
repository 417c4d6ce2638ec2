# The two commands a newcomer needs are `make demo` and `make test`; `make help` lists the rest.
#
#   VENV=DIR      where the environment is made (default .venv)
#   PYTHON=PATH   the interpreter to make it with (default: the newest that .ci/find-python finds)
#
# All paths are relative and quoted, so that a checkout below a folder with blanks in its name works.
SHELL = /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test test-full parity bench bench-server soak lint format types reference build lock clean
.PHONY: setup parity-setup full-setup

VENV ?= .venv
PARITY_VENV ?= .parity-venv
FULL_VENV ?= .full-venv
# Here and there a wheel without CUDA goes by another version: make test-full TORCH=...
TORCH ?= torch==2.13.0
PY = "$(VENV)/bin/python"
FILES ?=
QUERY ?=
ARGS ?=
SOAK ?= cancellations matrix replies secrets server_bytes server_schema endurance long_life kill_and_resume
DIST ?= dist
export PYTHON

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: setup ## send files through a pipeline and watch: make demo [FILES="a.txt b.txt"] [QUERY="words"]
	@exec $(PY) examples/demo.py $(if $(QUERY),--query "$(QUERY)") $(FILES)

test: setup ## run the tests; on Python 3.11 all lines and branches must be covered
	@exec $(PY) -m pytest -n auto $$($(PY) -c 'import sys; sys.version_info[:2] == (3, 11) and print("--cov --cov-fail-under=100")') $(ARGS)

test-full: full-setup ## run the tests that need model weights, PyTorch and Tesseract; gets them first
	@exec "$(FULL_VENV)/bin/python" -m pytest tests/full --cov --cov-config=.ci/full-coverage.toml --cov-fail-under=100 $(ARGS)

parity: setup parity-setup ## run the demo's scenario with the official client too, and compare
	@PARITY_PYTHON="$(PARITY_VENV)/bin/python" exec $(PY) -m pytest -n auto --dist loadfile tests/parity $(ARGS)

bench: setup parity-setup ## measure against the official client and others; write docs/benchmarks.md and policies.md
	@PARITY_PYTHON="$(PARITY_VENV)/bin/python" $(PY) -m benchmarks $(or $(ARGS),--again)
	@$(if $(ARGS),:,exec $(PY) benchmarks/policies.py --write)

bench-server: setup ## time the embedded server: small files a second, and its answers meanwhile
	@exec $(PY) benchmarks/server_throughput.py

soak: setup ## the proofs in their long form, two hours or so; SOAK="matrix replies" for some of them
	@for proof in $(SOAK); do echo "-- $$proof"; $(PY) -m tests.soak.$$proof $(ARGS) || exit; done

lint: setup ## check style and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: setup ## put style and format right, as far as a program can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

types: setup ## check types, strictly, and what users write with a second checker
	@$(PY) -m mypy
	@$(PY) -m pyright --pythonpath $(PY)

reference: setup ## remake docs/reference.md from the docstrings
	@$(PY) docs/make_reference.py

build: setup ## build wheel and sdist into dist/
	@$(PY) -m build --no-isolation --outdir "$(DIST)" .

lock: setup ## remake the lock files; make lock ARGS=--upgrade takes the newest versions
	@command -v uv >/dev/null || $(PY) -m pip install -qq --disable-pip-version-check uv
	@PATH="$$(cd "$(VENV)/bin" && pwd):$$PATH"; \
	uv pip compile pyproject.toml --extra all --group dev --python-version 3.11 \
	    --universal --generate-hashes --no-header --no-annotate --quiet -o .ci/requirements.txt $(ARGS) && \
	uv pip compile pyproject.toml .ci/full-requirements.in --override .ci/full-overrides.txt \
	    --extra all --extra hub --group dev --python-version 3.11 \
	    --universal --generate-hashes --no-header --no-annotate --quiet -o .ci/full-requirements.txt $(ARGS) && \
	echo 'krixik==1.1.19' | uv pip compile - --python-version 3.11 \
	    --universal --generate-hashes --no-header --no-annotate --quiet -o .ci/parity-requirements.txt $(ARGS)

clean: ## remove what the other targets made
	rm -rf "$(VENV)" "$(PARITY_VENV)" "$(FULL_VENV)" "$(DIST)" demo-output .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find krixik_async tests examples -name __pycache__ -prune -exec rm -rf {} +

setup:
	@.ci/setup "$(VENV)" .ci/requirements.txt

# The official client does not import on Python 3.13.
parity-setup:
	@PYTHON= .ci/setup "$(PARITY_VENV)" .ci/parity-requirements.txt 12

full-setup:
	@.ci/full-system
	@.ci/setup "$(FULL_VENV)" .ci/full-requirements.txt
	@"$(FULL_VENV)/bin/python" -c 'import torch' 2>/dev/null || \
	    "$(FULL_VENV)/bin/python" -m pip install -qq --disable-pip-version-check "$(TORCH)"
