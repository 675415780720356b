# Everything a contributor runs. `make` alone lists it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
UV := $(BIN)/uv
SERVED := docker or google or airflow
AT_ONCE := -n 2 --dist loadfile
FAST := not (slow or simulation or soak or $(SERVED))

.DEFAULT_GOAL := help
.PHONY: help demo test soak test-docker test-google test-airflow test-airflow-at smoke-gcp fast coverage check format floors bench simulate setup lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: .venv/foretell ## train and apply a real model, and see what became of it
	@sh examples/demo.sh $(CURDIR)/$(BIN)

test: check fast ## pass everything: checks, fast tests, the slow and the simulated, then those with servers of their own
	$(BIN)/python -m pytest $(AT_ONCE) -m "(slow or simulation) and not (soak or $(SERVED))" --durations=10
	$(BIN)/python -m pytest $(AT_ONCE) -m "(docker or google) and not (soak or airflow)" --durations=10
	$(BIN)/python -m pytest $(AT_ONCE) -m "airflow and not soak" --durations=10

soak: .venv/all ## what takes minutes: the properties on many more examples, great sizes; by hand
	$(BIN)/python -m pytest -m soak --durations=10

test-docker: .venv/all ## the tests of images and containers alone, on an engine of their own
	$(BIN)/python -m pytest $(AT_ONCE) -m "docker and not google" --durations=10

test-google: .venv/all ## the tests of Google's services alone, on stand-ins that they start themselves
	$(BIN)/python -m pytest $(AT_ONCE) -m "google and not airflow" --durations=10

test-airflow: .venv/all ## the tests of Airflow alone, on components that they start themselves
	$(BIN)/python -m pytest $(AT_ONCE) -m airflow --durations=10

AIRFLOW ?= 3.1.7
test-airflow-at: .venv/all ## the same on another version of Airflow: make test-airflow-at AIRFLOW=3.1.7
	$(UV) venv --quiet --clear --python $(BIN)/python .venv/airflow-$(AIRFLOW)
	$(UV) pip install --quiet --python .venv/airflow-$(AIRFLOW) --group dev --editable '.[google,airflow]' \
	  'apache-airflow==$(AIRFLOW)'
	.venv/airflow-$(AIRFLOW)/bin/python -m pytest $(AT_ONCE) -W default -m "airflow and not google" --durations=10

fast: .venv/all ## the tests that take seconds
	$(BIN)/python -m pytest $(AT_ONCE) -m "$(FAST)"

smoke-gcp: .venv/all ## try everything in a real project of Google's: make smoke-gcp PROJECT=…; costs a little, and cleans up
	@PROJECT="$(PROJECT)" LOCATION="$(LOCATION)" ZONE="$(ZONE)" sh tools/smoke-gcp.sh $(CURDIR)/$(BIN)

coverage: .venv/all ## what the fast tests do not reach
	$(BIN)/python -m coverage run -m pytest -m "$(FAST)"
	$(BIN)/python -m coverage report --skip-covered --sort=cover

check: .venv/all ## what must hold before a commit: format, lint, imports, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

format: .venv/all ## put the code into shape
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

floors: .venv/foretell ## draw the floors in ARCHITECTURE.md from the contract of imports
	$(BIN)/python tools/floors.py

bench: .venv/all ## measure, as ratios in one run; results go to docs/benchmarks.md by hand
	$(BIN)/python -m bench

simulate: .venv/all ## 100,000 random histories of the protocol, and every placing of two faults
	$(BIN)/python -m tests.simulation random 100000
	$(BIN)/python -m tests.simulation faults 2

setup: $(if $(ALL),.venv/all,.venv/foretell) ## make .venv; with ALL=1 everything that tests need

.venv/foretell: $(UV) pyproject.toml constraints.txt
	$(UV) pip install --quiet --compile-bytecode --constraints constraints.txt --editable .
	$(BIN)/python -m compileall -q -x scaffold/template src
	@touch $@

.venv/all: .venv/foretell tools/system.sh
	@sh tools/system.sh strace
	$(UV) pip install --quiet --compile-bytecode --constraints constraints.txt --group dev --editable '.[google,airflow]'
	@touch $@

$(UV): constraints.txt
	@sh tools/venv.sh "$(PYTHON)" .venv
	@grep '^uv==' constraints.txt > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement .venv/uv.txt
	@touch $@

lock: $(UV) ## take newer versions of what we depend on
	$(UV) pip compile --quiet --universal --upgrade --no-header --no-annotate --no-emit-index-url \
	  --group dev --all-extras --output-file constraints.txt pyproject.toml

clean: ## remove what setup made
	rm -rf .venv
