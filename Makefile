# One door to everything. `make help` lists it. A fresh checkout needs git, make, Python 3.11 or later and a package index.

PYTHON ?= python3
# A Python that was asked for is kept; otherwise setup may take a better built one.
KEPT := $(if $(filter file,$(origin PYTHON)),,--this-python)
BIN := .venv/bin
DATA ?= ./data
ARGS ?=
SEED ?= 1
SECONDS ?= 60
# More processes than two cores: much of the time tests wait for drives, clients and clocks.
TEST_ARGS ?= -n 3 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help run test setup check fmt lint format-check contracts types tidy gates unit build smoke bench sim sim-exhaustive fuzz conformance docs clients client-programs clients-all etcd clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# The stamp holds the digest of its inputs: nothing is installed twice.
.venv/.objstore-stamp: requirements/dev.lock pyproject.toml deploy/bootstrap.py
	@$(PYTHON) -I deploy/bootstrap.py $(KEPT) dev

.venv-%/.objstore-stamp: requirements/%.lock deploy/bootstrap.py
	@$(PYTHON) -I deploy/bootstrap.py $*

setup: .venv/.objstore-stamp ## Make the environment in .venv/ from the lock file

run: setup ## Serve S3 on http://127.0.0.1:9000 with data under ./data (ARGS="--address ...")
	@exec $(BIN)/objstore-node serve $(DATA) $(ARGS)

test: setup gates unit ## All gates and all tests

check: ## What CI runs: gates, wheel, smoke run, tests
	.ci/run

gates: format-check lint contracts types tidy

fmt: setup ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet . || true

format-check: setup
	$(BIN)/ruff format --check --quiet .

lint: setup ## Lint
	$(BIN)/ruff check --quiet .

contracts: setup ## Check that imports point down only
	$(BIN)/lint-imports --no-cache > .contracts.log || { cat .contracts.log; exit 1; }

types: setup ## Check types
	$(BIN)/mypy

tidy: setup ## Check the house style
	$(BIN)/python -m pytest -q tests/tidy

unit: setup clients etcd
	$(BIN)/python -m pytest $(TEST_ARGS) --ignore tests/tidy

clients: $(patsubst requirements/%.lock,.venv-%/.objstore-stamp,$(wildcard requirements/clients*.lock))

client-programs: ## Get clients that are not Python packages, as far as this machine can (as root, some are installed by apt-get)
	@$(PYTHON) -I deploy/client_programs.py

clients-all: clients ## The same, and those that take many minutes to compile: new releases of rclone and restic, and litestream
	@$(PYTHON) -I deploy/client_programs.py all

etcd: setup ## Fetch the etcd that some tests need, where this machine has none
	@$(BIN)/python deploy/etcd.py

build: setup ## Build the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . > /dev/null

smoke: build ## Install the wheel into an environment of its own and serve with it
	$(BIN)/python deploy/smoke.py

bench: setup ## Measure end to end; lines go to results/ (ARGS="--rounds 3")
	$(BIN)/python benchmarks/e2e_bench.py $(ARGS)
	$(BIN)/python benchmarks/replicas_bench.py

sim: setup ## Replay one simulated schedule (SEED=n, ARGS=--trace to see it all)
	$(BIN)/python -m objstore.testing.sim --seed $(SEED) $(ARGS)

sim-exhaustive: setup ## Visit every schedule of the larger of the small scopes, and break rules in them
	OBJSTORE_SIM_SCOPES=large $(BIN)/python -m pytest -q -p no:cacheprovider --timeout 3600 tests/sim/test_exhaustive.py

fuzz: setup ## Fuzz the parsers of untrusted bytes (SECONDS=60 for each, ARGS="xml target")
	$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS) $(ARGS)

conformance: setup .venv-s3tests/.objstore-stamp ## Run the public S3 suite (S3_TESTS=DIR)
	$(BIN)/python tests/conformance/run_s3_tests.py $(S3_TESTS) $(ARGS)

docs: setup ## Write the pages that are made from tables
	$(BIN)/python -m objstore.server.settings_page
	$(BIN)/python -m objstore.server.limits_page

clean: ## Remove what was built; environments and data stay
	rm -rf dist build .contracts.log .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage
