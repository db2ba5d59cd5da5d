# `make help` lists what this file can do. It needs Python 3.11+ and make; everything else goes into .venv and .sistercity.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_DIR := .sistercity
# Many tests wait for other processes most of the time, so there are more workers than cores.
WORKERS ?= 4
BENCHMARKS := energy singles waste curves frames passes mix latency serve register
PIP := $(BIN)/python -m pip --disable-pip-version-check
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade
# Hundreds of processes of the tests and of the demo would otherwise compile the same modules, each for itself.
unexport PYTHONDONTWRITEBYTECODE
COLLECT = $(BIN)/python -m pytest --collect-only
PARALLEL = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
INSTALL_FAILED = { echo "make: an installation failed; check the network and the package index that pip is set to use (what pip said is in $(VENV)/pip.log), then run the same command again." >&2; exit 1; }

.PHONY: help install demo test soak containers unit lint types bench bench-peers train lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 13

$(VENV)/installed-embedded: requirements/build.txt requirements/embedded.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than Python 3.11; say which to use: make PYTHON=python3.12 ..."; exit 1; }
	@echo "installing into $(VENV) (two minutes on a slow line)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/embedded.txt 2> $(VENV)/pip.log || $(INSTALL_FAILED)
	@touch $@

$(VENV)/installed-project: pyproject.toml $(VENV)/installed-embedded
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable . 2> $(VENV)/pip.log || $(INSTALL_FAILED)
	@touch $@

$(VENV)/installed-test: requirements/test.txt $(VENV)/installed-embedded
	@$(PIP) install --require-hashes -r requirements/test.txt 2> $(VENV)/pip.log || $(INSTALL_FAILED)
	@touch $@

$(VENV)/installed-bench: requirements/bench.txt $(VENV)/installed-embedded
	@$(PIP) install --require-hashes -r requirements/bench.txt 2> $(VENV)/pip.log || $(INSTALL_FAILED)
	@touch $@

$(HOME_DIR)/installed-services: embedded/kafka.lock $(VENV)/installed-project
	@$(BIN)/python -m embedded.install $(HOME_DIR)
	@touch $@

install: $(VENV)/installed-project $(HOME_DIR)/installed-services ## install everything into this folder

demo: install ## two cities exchange their energy; ONCE=1 ends after the table
	@$(BIN)/sistercity demo $(if $(ONCE),--once)

# In a fresh clone pytest compiles the asserts of every test file, and each worker would do that for itself: each of two
# processes does it for half of the folders before.
test: install $(VENV)/installed-test ## every test, against the real Kafka and PostgreSQL
	@test -d tests/__pycache__ || { $(COLLECT) tests/[a-i]*/ > /dev/null & $(COLLECT) tests/[!a-i_]*/ > /dev/null; wait; }
	@$(PARALLEL)

# Some of the long runs wait for minutes, for a server that is to be away so long.
soak: WORKERS = 5
soak: install $(VENV)/installed-test ## the long runs of the same tests: many kills, many examples, every real file
	@SISTERCITY_SOAK=1 $(PARALLEL) -m "soak or soak_only"

containers: install $(VENV)/installed-test ## the tests on a container engine (docs/containers.md); KILLS=100 for more
	@SISTERCITY_CONTAINERS=1 SISTERCITY_KILLS=$(or $(KILLS),12) $(BIN)/python -m pytest -m containers tests/containers

unit: install $(VENV)/installed-test ## the tests that need neither Kafka nor PostgreSQL; ROOM=ingest for those of one room
	@$(BIN)/python -m pytest --numprocesses 4 --dist worksteal -m "not services" tests/$(ROOM)

lint: $(VENV)/installed-test ## ruff, and the contracts of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . && $(BIN)/lint-imports --no-cache

types: $(VENV)/installed-test ## mypy
	@$(BIN)/mypy

bench: install $(VENV)/installed-bench ## every benchmark, and the page of their figures (docs/benchmarks.md); ONLY="energy passes" for some
	@for name in $(or $(ONLY),$(BENCHMARKS)); do echo "benchmarks.$$name"; \
	  $(BIN)/python -m benchmarks.$$name --output benchmarks/results/$$name.json || exit 1; done
	@$(BIN)/python -m benchmarks.report

bench-peers: install $(VENV)/installed-bench ## Kafka Streams, Flink SQL, Quix Streams and Pathway beside the product on the same topics; ONLY="own flink" for some
	@$(BIN)/python -m benchmarks.peers $(if $(ONLY),--only $(ONLY)); failed=$$?; $(BIN)/python -m benchmarks.report && exit $$failed

train: ## the plate network from scratch, from images beside the project (needs Debian's python3-torch and python3-opencv)
	@/usr/bin/python3 -m training ../shared/data/plates

lock: ## resolve the dependencies anew into requirements/ (needs uv)
	@for extra in client node fast pictures embedded bench test; do \
	  $(COMPILE) --extra $$extra pyproject.toml --output-file requirements/$$extra.txt || exit 1; done
	@for tool in requirements/build requirements/sbom benchmarks/peers/quix benchmarks/peers/pathway; do \
	  $(COMPILE) $$tool.in --output-file $$tool.txt || exit 1; done

clean: ## remove what was installed and every embedded service's data
	@test ! -x $(BIN)/python || $(BIN)/python -m embedded.remove $(HOME_DIR)
	@rm -rf $(VENV) $(HOME_DIR) demo.json tests/vectors/javascript/node_modules tests/ingest/codecs/javascript/node_modules
