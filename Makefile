# make demo      adapt a small network on the built-in city, beside its controls: a table and a page, three minutes
# make test      the test suite
# make test-ci   the second lane: tests marked ci (browser, processes, export, documentation, attacks; at most 20 minutes)
# make test-all  every test, also those marked slow: a short training of every config
# make test-onedl   the test suite on the maintained forks (onedl-*), in .venv-onedl
# make test-newest  the test suite on the newest releases of everything and the newest Python at hand, in .venv-newest
# make lint      ruff, mypy, that imports run one way, that tensor code says its shapes, that the tables of configs/*/README.md and
#                metafile.yml, the claims and the table of gains are up to date
# make format    yapf over the files of mmseg_dg that differ from the last commit
# make docs      the documentation site in build/docs, with warnings as errors
# make clean     remove the environments and build products
#
# The first call makes a virtual environment in .venv with everything pinned (requirements/pinned.txt); later calls
# reuse it. Variables: PYTHON (the pins were tested with 3.11), VENV, TORCH_INDEX (one more index to take torch from,
# e.g. https://download.pytorch.org/whl/cpu for a small CPU-only build), JOBS (parallel test processes), METHOD (of the
# demo), DEMO_DIR, DEMO_OPTIONS (more options of tools/demo.py), PYTEST_OPTIONS.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
TORCH_INDEX ?=
JOBS ?= auto
METHOD ?= daformer
DEMO_DIR ?= work_dirs/demo
DEMO_OPTIONS ?=
PYTEST_OPTIONS ?=
ONEDL_VENV ?= .venv-onedl
NEWEST_VENV ?= .venv-newest
# of the Pythons the stack runs on, the newest there is; pyenv need not have its own on PATH
PYENV_PYTHONS = $(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python)
NEWEST_PYTHON ?= $(firstword $(foreach v,3.13 3.12 3.11,$(call PYENV_PYTHONS,$(v)) $(shell command -v python$(v))) python3)

PINS := requirements/pinned.txt
STAMP := $(VENV)/.complete
DOCS_STAMP := $(VENV)/.docs
CI_STAMP := $(VENV)/.ci
RUN := $(VENV)/bin/python
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# packages of the caller's environment must not mix with the pinned ones
unexport PYTHONPATH
unexport PYTHONHOME

.PHONY: demo test test-ci test-all test-onedl test-newest attack lint format docs clean
.DEFAULT_GOAL := test

$(STAMP): $(PINS) setup.py pyproject.toml mmseg_dg/version.py
	@test -n "$(PYTHON)" || { echo 'no python3 found: install Python 3.11 or set PYTHON'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	    echo '$(PYTHON) cannot make environments: on Debian or Ubuntu, apt-get install python3-venv'; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	# torch with what it depends on: on a CUDA machine that is more than the pins list
	$(RUN) -m pip install -q $(INDEX) -c $(PINS) torch setuptools wheel
	$(RUN) -m pip install -q $(INDEX) --no-deps -r $(PINS)
	$(RUN) -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

demo: $(STAMP)
	$(RUN) tools/demo.py --method $(METHOD) --out $(DEMO_DIR) $(DEMO_OPTIONS)

# one thread per process: the processes already fill the cores
test: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadfile -m 'not slow and not ci' $(PYTEST_OPTIONS)
	@echo 'left out here: tests marked ci (make test-ci) and slow (make test-all)'

# the site is built by a test of this lane, wheel and sdist are checked by others
test-ci: $(STAMP) $(DOCS_STAMP) $(CI_STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadfile -rs -m 'ci and not slow' $(PYTEST_OPTIONS)
	@echo 'left out here: what make test runs, and tests marked slow (make test-all)'

test-all: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadfile $(PYTEST_OPTIONS)

# docs/stacks.md: what was measured with these two
test-onedl: $(ONEDL_VENV)/.complete
	OMP_NUM_THREADS=1 $(ONEDL_VENV)/bin/python -m pytest -q -n $(JOBS) --dist loadfile -m 'not slow and not ci' \
	    $(PYTEST_OPTIONS)

test-newest: $(NEWEST_VENV)/.complete
	OMP_NUM_THREADS=1 $(NEWEST_VENV)/bin/python -m pytest -q -n $(JOBS) --dist loadfile -m 'not slow and not ci' \
	    $(PYTEST_OPTIONS)

# the pins, but for the four packages that the forks replace
$(ONEDL_VENV)/.complete: $(PINS) requirements/onedl.txt setup.py pyproject.toml mmseg_dg/version.py
	$(PYTHON) -m venv --clear $(ONEDL_VENV)
	grep -vE '^(mmcv-lite|mmengine|mmpretrain|mmsegmentation)==' $(PINS) > $(ONEDL_VENV)/pins.txt
	$(ONEDL_VENV)/bin/pip install -q $(INDEX) -c $(ONEDL_VENV)/pins.txt torch setuptools wheel
	$(ONEDL_VENV)/bin/pip install -q $(INDEX) --no-deps -r $(ONEDL_VENV)/pins.txt
	$(ONEDL_VENV)/bin/pip install -q $(INDEX) --no-deps -r requirements/onedl.txt
	$(ONEDL_VENV)/bin/pip install -q --no-deps --no-build-isolation -e .
	touch $@

# nothing pinned: what pip gives a user today
NEWEST_FILES := $(foreach name,runtime tests mim encoders export lint,-r requirements/$(name).txt)
$(NEWEST_VENV)/.complete: setup.py pyproject.toml mmseg_dg/version.py $(wildcard requirements/*.txt)
	$(NEWEST_PYTHON) -m venv --clear $(NEWEST_VENV)
	$(NEWEST_VENV)/bin/python -m pip install -q --upgrade pip
	$(NEWEST_VENV)/bin/python -m pip install -q $(INDEX) --upgrade torch torchvision $(NEWEST_FILES) wheel
	# the same module without the system's X and GL libraries, which a bare container lacks
	$(NEWEST_VENV)/bin/python -m pip uninstall -q -y opencv-python
	$(NEWEST_VENV)/bin/python -m pip install -q --upgrade --force-reinstall --no-deps opencv-python-headless
	$(NEWEST_VENV)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

# 15 minutes: kills, full disks, hostile files; figures of the full attack are in docs/reliability.md
attack: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) tools/dev/attack.py --quick

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) tools/dev/check_imports.py
	$(RUN) tools/dev/check_shapes.py
	$(RUN) tools/dev/config_docs.py --check
	$(RUN) tools/dev/claims_table.py --check
	$(RUN) tools/dev/status_table.py --check

# only what was changed: over the whole package yapf takes half a minute of processor time
format: $(STAMP)
	@git diff HEAD --name-only --diff-filter=d -- 'mmseg_dg/*.py' | xargs -r $(RUN) -m yapf -i -p

# Sphinx is not among the pins: it and what it needs are installed when the site is built for the first time
$(DOCS_STAMP): $(STAMP) requirements/docs.txt
	$(RUN) -m pip install -q $(INDEX) -c $(PINS) -r requirements/docs.txt
	touch $@

$(CI_STAMP): $(STAMP) requirements/ci.txt
	$(RUN) -m pip install -q $(INDEX) -c $(PINS) -r requirements/ci.txt
	touch $@

docs: $(STAMP) $(DOCS_STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m sphinx -q -W --keep-going -b html -d build/doctrees docs build/docs
	@echo 'build/docs/index.html'

clean:
	rm -rf $(VENV) $(ONEDL_VENV) $(NEWEST_VENV) build dist *.egg-info mmseg_dg/.mim .pytest_cache .ruff_cache .mypy_cache .hypothesis
