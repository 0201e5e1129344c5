# make run: the main job, from nothing to a report.   make test: the default tests.   make help: the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup run findings test test-fast test-extended test-all test-lowest chaos torture lint types lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## the environment in .venv, from requirements.lock

# uv lives in a folder of its own, so that it is never part of what it installs. Bytecode is compiled once here: without it every
# fresh Ray worker compiles torch anew.
$(READY): requirements.lock
	@test -x $(VENV)-uv/bin/uv || { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; set PYTHON=python3.11 or newer"; exit 2; }; \
		$(PYTHON) -m venv $(VENV)-uv && $(VENV)-uv/bin/python -m pip install -q uv; }
	@test -x $(BIN)/python || $(VENV)-uv/bin/uv venv -q --python $(PYTHON) $(VENV)
	@env -u PYTHONDONTWRITEBYTECODE $(VENV)-uv/bin/uv pip sync -q --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	@touch $@

run: $(READY)  ## the main job on simulated scanners, its sealed labels opened last; prints the path of its report last
	@$(BIN)/python -m sweep.run search_spaces/quickstart.yaml
	@$(BIN)/python -m analysis.unseal results/quickstart --report

# Two workers: the end-to-end tests, which take longest, on one of them and first (tests/conftest.py).
XDIST := -n 2 --dist loadscope --no-loadscope-reorder

findings: $(READY)  ## the papers' questions on real images, resumable: DATA=PATH/TO/DATA, ONLY=gap for one question, PLAN=1 for its hours
	@test -n "$(DATA)" || { echo "error: DATA is not given; give the folder with BUSI, BrEaST, the chest X-rays and weights: make findings DATA=PATH"; exit 2; }
	@$(BIN)/python -m benchmarks.findings $(DATA) $(if $(ONLY),--only $(ONLY)) $(if $(PLAN),--plan)

test: $(READY)  ## the default tests, two at a time
	@$(BIN)/python -m pytest $(XDIST) -m "not slow and not extended"

test-fast: $(READY)  ## unit tests and contracts only
	@$(BIN)/python -m pytest $(XDIST) -m "not slow and not extended" tests/unit tests/contracts tests/test_architecture.py

test-extended: $(READY)  ## what make test leaves out and CI runs: a job on a Ray cluster, an object store, limits
	@$(BIN)/python -m pytest $(XDIST) -m "extended and not slow"

test-all: $(READY)  ## the long tests too
	@$(BIN)/python -m pytest

chaos: $(READY)  ## every reliability case, resumable, about two hours; QUICK=1 for about 15 minutes; writes docs/reliability.md
	@$(BIN)/python -m tests.reliability $(if $(QUICK),--quick)

torture: $(READY)  ## the reliability cases of ledger, storage, bad trials and bad input alone
	@$(BIN)/python -m tests.reliability $(if $(QUICK),--quick) --only R5,R6-cuts,R6-flips,R7,R9

lint: $(READY)  ## ruff (check and format) and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

types: $(READY)  ## mypy
	@$(BIN)/mypy

# Direct dependencies at their lower bounds, in an environment of its own; gigabytes the first time. One sweep runs without Ray.
LOWEST := $(VENV)-lowest
test-lowest: $(READY)  ## unit tests and one sweep on the lowest versions that pyproject.toml allows
	@$(VENV)-uv/bin/uv pip compile -q pyproject.toml --extra test --resolution lowest-direct --python-version 3.11 --no-header --no-emit-index-url -o $(VENV)-lowest.txt
	@test -x $(LOWEST)/bin/python || $(VENV)-uv/bin/uv venv -q --python $(PYTHON) $(LOWEST)
	@$(VENV)-uv/bin/uv pip sync -q --python $(LOWEST)/bin/python $(VENV)-lowest.txt
	@$(LOWEST)/bin/python -m pytest -m "not slow" tests/unit
	@$(LOWEST)/bin/python -m sweep.run search_spaces/quickstart.yaml --smoke --engine inline --storage $(LOWEST)/quickstart

lock: $(READY)  ## requirements.lock anew from pyproject.toml (versions and hashes, no addresses)
	$(VENV)-uv/bin/uv pip compile -q pyproject.toml --extra test --extra lint --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o requirements.lock

clean:  ## results and environment away
	rm -rf $(VENV) $(VENV)-uv $(VENV)-lowest $(VENV)-lowest.txt results
