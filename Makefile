# make demo      train DAFormer on the built-in synthetic city for a few minutes, evaluate it, save pictures
# make test      the test suite
# make test-ci   the second lane: tests marked ci (browser, processes, export, documentation, attacks; at most 20 minutes)
# make test-all  every test, also those marked slow: a short training of every config
# make lint      ruff
# make clean     remove the environment, build products and the demo's results
#
# The first call makes a virtual environment in .venv with everything pinned (requirements/pinned.txt); later calls
# reuse it. Variables: PYTHON (the pins were tested with 3.11), VENV, TORCH_INDEX (one more index to take torch from,
# e.g. https://download.pytorch.org/whl/cpu for a small CPU-only build), JOBS (parallel test processes), DEMO_CONFIG,
# DEMO_DIR, DEMO_OPTIONS (more options for the training), PYTEST_OPTIONS.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
TORCH_INDEX ?=
JOBS ?= auto
DEMO_CONFIG ?= configs/demo/daformer_synthcity_demo.py
DEMO_DIR ?= work_dirs/demo
DEMO_OPTIONS ?=
PYTEST_OPTIONS ?=

PINS := requirements/pinned.txt
STAMP := $(VENV)/.complete
RUN := $(VENV)/bin/python
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# packages of the caller's environment must not mix with the pinned ones
unexport PYTHONPATH
unexport PYTHONHOME

.PHONY: demo test test-ci test-all lint clean
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

# one thread per process here too: the networks are tiny, and threads that wait for a busy core cost more than they do
demo: export OMP_NUM_THREADS ?= 1
demo: $(STAMP)
	$(RUN) tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO_DIR) $(DEMO_OPTIONS)
	$(RUN) tools/test.py $(DEMO_CONFIG) "$$(cat $(DEMO_DIR)/last_checkpoint)" --work-dir $(DEMO_DIR)/test \
	    --show-dir $(DEMO_DIR)/pictures --out $(DEMO_DIR)/predictions
	@echo 'Scores: $(DEMO_DIR)/test. Painted predictions: $(DEMO_DIR)/pictures. Label maps: $(DEMO_DIR)/predictions.'

# one thread per process: the processes already fill the cores
test: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadfile -m 'not slow and not ci' $(PYTEST_OPTIONS)

test-ci: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadfile -m 'ci and not slow' $(PYTEST_OPTIONS)

test-all: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadfile $(PYTEST_OPTIONS)

lint: $(STAMP)
	$(RUN) -m ruff check .

clean:
	rm -rf $(VENV) build dist *.egg-info mmseg_dg/.mim .pytest_cache .ruff_cache .hypothesis $(DEMO_DIR)
