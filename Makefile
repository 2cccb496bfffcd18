# Everything a visitor needs. Each target makes the environment it needs, once.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
STAMP  := $(VENV)/.stamp
NOTEBOOKS = $(sort $(wildcard notebooks/[0-9]*.ipynb))
CELL_TIMEOUT ?= 600
# One more than CI has cores: browsers and servers are waited for.
WORKERS ?= 3
# Several workers on two cores: numba (UMAP's) would set OpenMP to two threads in a kernel, and MKL would follow and spin.
ONE_THREAD = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
APT ?= $(if $(filter 0,$(shell id -u)),apt-get,sudo -n apt-get)

# Two notebooks at once do not spin each other's cores away (notebooks/SCALING.md); also where torch is imported first.
export GOMP_SPINCOUNT ?= 3000

.DEFAULT_GOAL := help
TARGETS := help env demo test lab notebooks student slides site colab voila figures tuning table reproduction lock bench \
           peers audit fuzz coverage mutants oldest newest browser clean
.PHONY: $(TARGETS)
# What runs by itself downloads no model; a person at a lesson may (lesson 12's ViT-B-32).
$(filter-out lab voila,$(TARGETS)): export HF_HUB_OFFLINE := 1
.DELETE_ON_ERROR:
.NOTPARALLEL:  # two targets may write the same notebook

help:  ## print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

# uv, not pip, resolves and installs: it takes torch and torchvision from the same index, and it is fast.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mmrec_lite needs Python 3.11 or newer, $(PYTHON) is older: make env PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check uv

$(STAMP): pyproject.toml requirements.lock | $(BIN)/uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -r requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

env: $(STAMP)  ## make the environment in .venv (minutes the first time, nothing afterwards)

demo: env  ## the quick tour, executed: its tables and pictures as one page in build/demo/
	@test -e notebooks/00_quick_tour.ipynb || { echo "notebooks/00_quick_tour.ipynb is missing"; exit 1; }
	@mkdir -p build/demo
	MMREC_FIGURES=$(CURDIR)/build/demo $(PY) -m papermill --cwd build/demo \
	  --execution-timeout $(CELL_TIMEOUT) notebooks/00_quick_tour.ipynb build/demo/00_quick_tour.ipynb
	@$(PY) -m nbconvert --log-level ERROR --to html build/demo/00_quick_tour.ipynb
	@echo; echo "Open build/demo/00_quick_tour.html: the tables and pictures are in it. Beside it:"
	@ls -1 build/demo

test: env  ## lint, unit tests, every lesson (nbval, and short with papermill's parameters), JupyterLab in a browser
	$(BIN)/ruff check .
	@command -v apt-get >/dev/null && test "$$(id -u)" = 0 && $(MAKE) --no-print-directory browser || true
	MMREC_TEST_THREADS=1 $(ONE_THREAD) $(PY) -m pytest --numprocesses=$(WORKERS) \
	  --nbval-lax --nbval-cell-timeout=$(CELL_TIMEOUT) tests $(NOTEBOOKS)

lab: env  ## open the lessons in JupyterLab (this machine only, with a token)
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(wildcard notebooks/00_quick_tour.ipynb)

notebooks: env  ## execute every notebook again, in place, and clean it
	$(PY) -m tests.notebooks.execute --timeout $(CELL_TIMEOUT) $(NOTEBOOKS)

student: env  ## copies of the lessons without solutions and outputs, in build/student/
	$(PY) -m tests.notebooks.export student build/student

# REVEAL names an unpacked package reveal.js (npm pack reveal.js), for a room without a network.
slides: env  ## a deck of each lesson, in build/slides/ (make slides REVEAL=folder: with a copy of reveal.js)
	$(PY) -m tests.notebooks.export slides build/slides $(if $(REVEAL),--reveal "$(REVEAL)")

site: env  ## all lessons as linked pages, build/site/index.html first
	$(PY) -m tests.notebooks.export site build/site

colab: env  ## lessons with a Colab badge and an install cell, in build/colab/: make colab REPOSITORY=owner/name
	$(PY) -m tests.notebooks.colab "$(REPOSITORY)" build/colab

voila: env  ## the quick tour as a page with live explorers (this machine only); installs voila
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet voila
	$(BIN)/voila --no-browser --Voila.ip=127.0.0.1 notebooks/00_quick_tour.ipynb

figures: env  ## draw figures/ again: executes the notebooks that save a figure
	@mkdir -p figures
	MMREC_FIGURES=$(CURDIR)/figures $(PY) -m tests.notebooks.execute --timeout $(CELL_TIMEOUT) \
	  $$(grep -l 'save_figure(' $(NOTEBOOKS) /dev/null)

tuning: env  ## choose the lecture settings again, on validation (about half an hour on two cores)
	$(PY) -m tests.tuning

table: env  ## measure the README's table on the shop, 5 seeds (long: one training at a time)
	$(PY) -m tests.readme_table

reproduction: env  ## every table and figure of the papers on the shop, notebooks/REPRODUCTION.md (hours; ARGS="--seeds 0 --no-keep": twenty minutes, into build/)
	$(PY) -m tests.reproduction $(ARGS)

# Keeps the versions that still fit; make lock UPGRADE=--upgrade takes the newest of all.
lock: | $(BIN)/uv  ## write requirements.lock from pyproject.toml
	@mkdir -p build && { cp requirements.lock build/requirements.lock 2>/dev/null || true; }
	$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --universal --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header $(UPGRADE) -o build/requirements.lock
	@{ echo "# Made by 'make lock' from pyproject.toml: every extra, every platform."; \
	   grep -v '^#' build/requirements.lock; } > requirements.lock.tmp
	@mv requirements.lock.tmp requirements.lock

bench: env peers  ## speed and memory, on data of the size of a published set (minutes)
	@mkdir -p build
	@# File by file: what was measured is written down even where a later row fails, or somebody ends it.
	@status=0; for file in tests/benchmarks/test_$(or $(ONLY),*).py; do rm -f build/bench.json; \
	  $(PY) -m pytest $$file --benchmark-only --benchmark-json=build/bench.json; code=$$?; \
	  [ $$code -eq 0 ] || [ $$code -eq 5 ] || status=$$code; \
	  [ ! -s build/bench.json ] || $(PY) -m tests.benchmarks.table build/bench.json tests/benchmarks/README.md || status=1; \
	done; exit $$status

peers: .venv-peers/.stamp  ## RecBole and cornac, in .venv-peers: to be compared with (they need an older NumPy)

.venv-peers/.stamp: tests/benchmarks/peers.txt | $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(PY) .venv-peers
	VIRTUAL_ENV=$(CURDIR)/.venv-peers $(BIN)/uv pip install --quiet -r tests/benchmarks/peers.txt
	@touch $@

# Each runs in an environment of its own; pip-audit asks a service on the internet about every locked package, by name: a
# package that the lock names twice, one version a Python, goes into a second list.
audit: env  ## security: known holes of the locked packages (pip-audit), our own source (bandit)
	$(BIN)/uv tool run bandit --quiet --recursive mmrec_lite
	@mkdir -p build && rm -f build/audit-*.txt
	@sed '/^#/d; s/ *;.*//' requirements.lock | awk -F== '{print > ("build/audit-" ++seen[$$1] ".txt")}'
	@found=0; for list in build/audit-*.txt; do \
	  $(BIN)/uv tool run pip-audit --requirement $$list --strict --no-deps --disable-pip $(AUDIT_FLAGS) || found=1; done; exit $$found

# In a folder of its own beside the environment: only this target needs atheris.
fuzz: env  ## atheris on every reader, FUZZ_SECONDS=60 each (Linux); FUZZ=movielens for one
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --target build/atheris atheris
	for name in $(or $(FUZZ),$$($(PY) -c 'from tests.hardness import formats, kept; print(*formats.FORMATS, *kept.NAMES)')); do \
	  PYTHONPATH=$(CURDIR)/build/atheris $(PY) -m tests.hardness.fuzz $$name -max_total_time=$(or $(FUZZ_SECONDS),60) \
	    -artifact_prefix=build/fuzz-$$name- || exit 1; done

coverage: env  ## which lines and branches of mmrec_lite the unit tests reach
	MMREC_TEST_THREADS=1 $(ONE_THREAD) $(PY) -m pytest -q --numprocesses=$(WORKERS) \
	  -m "not browser and not notebook" --cov=mmrec_lite --cov-branch --cov-report=term:skip-covered

mutants: env  ## change losses, graphs and metrics one operator at a time; what no test notices (half an hour)
	MMREC_TEST_THREADS=1 $(ONE_THREAD) $(BIN)/mutmut run && $(BIN)/mutmut results

oldest: $(BIN)/uv  ## unit tests with the oldest versions that pyproject.toml allows, in .venv-oldest
	@mkdir -p build
	$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --resolution lowest-direct --python $(PY) \
	  --no-emit-index-url --no-annotate --no-header -o build/oldest.txt
	$(BIN)/uv venv --quiet --allow-existing --python $(PY) .venv-oldest
	VIRTUAL_ENV=$(CURDIR)/.venv-oldest $(BIN)/uv pip install --quiet -r build/oldest.txt
	VIRTUAL_ENV=$(CURDIR)/.venv-oldest $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	MMREC_TEST_THREADS=1 $(ONE_THREAD) .venv-oldest/bin/python -m pytest -q --numprocesses=$(WORKERS) \
	  --ignore=tests/browser --ignore=tests/notebooks --ignore=tests/test_wheel.py

newest: $(BIN)/uv  ## unit tests with the newest versions that pyproject.toml allows, in .venv-newest
	@mkdir -p build
	$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --resolution highest --upgrade --python $(PY) \
	  --no-emit-index-url --no-annotate --no-header -o build/newest.txt
	$(BIN)/uv venv --quiet --allow-existing --python $(PY) .venv-newest
	VIRTUAL_ENV=$(CURDIR)/.venv-newest $(BIN)/uv pip install --quiet -r build/newest.txt
	VIRTUAL_ENV=$(CURDIR)/.venv-newest $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	MMREC_TEST_THREADS=1 $(ONE_THREAD) .venv-newest/bin/python -m pytest -q --numprocesses=$(WORKERS) \
	  --ignore=tests/browser --ignore=tests/notebooks --ignore=tests/test_wheel.py

browser: env  ## install Chromium for the browser tests, if it is missing
	@if $(PY) -m tests.browser.chromium; then :; \
	elif ! command -v apt-get >/dev/null; then \
	  echo "No Chromium found. Install it with your system's package manager, or set MMREC_CHROMIUM=/path/to/it."; exit 1; \
	else $(APT) update -qq && $(APT) install -y -qq chromium >/dev/null && $(PY) -m tests.browser.chromium || \
	  { echo "Chromium could not be installed. As an administrator: apt-get install chromium"; exit 1; }; fi

clean:  ## remove what the other targets made, except .venv
	rm -rf build dist mutants .venv-oldest .venv-newest .venv-peers .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
