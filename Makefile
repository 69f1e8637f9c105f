# Every target that needs Python packages sets up .venv itself; nothing is installed elsewhere.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_SEED ?= 1
FUZZ_SECONDS ?= 60
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo run test chaos fuzz check format check-config image bench bench-quick profile clean

#: list these targets
help:
	@awk '/^#: /{about=substr($$0,4)} /^[a-z.-]+:/{if(about){split($$1,t,":");printf "make %-13s %s\n",t[1],about} about=""}' $(MAKEFILE_LIST)

#: show what a recorded session becomes, without any Langfuse
demo: $(VENV)/.runtime
	@$(BIN)/langfuse-bridge demo

#: start the daemon with config/bridge.toml and the environment
run: $(VENV)/.runtime
	@exec $(BIN)/langfuse-bridge run

#: print every setting and where it was set
check-config: $(VENV)/.runtime
	@$(BIN)/langfuse-bridge check-config

#: check style, types and the tests
test: check
	$(BIN)/pytest

#: kill, cut off and flood a running bridge, and keep the figures; one part with ONLY=kill
chaos: $(VENV)/.dev
	CHAOS=full $(BIN)/pytest --quiet tests/chaos/$(if $(ONLY),test_$(ONLY).py)

#: fuzz decode, the whole way and the port (FUZZ_SEED, FUZZ_SECONDS for each target)
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seed $(FUZZ_SEED) --inputs 1000000 --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz.guided $(VENV)/fuzz-corpus -seed=$(FUZZ_SEED) -max_total_time=$(FUZZ_SECONDS) -max_len=9000 -timeout=10

#: check style and types only
check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

#: bring the code into its format
format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

#: build the image without Docker and try it: as root, with buildah and debootstrap
image:
	config/build-image.sh

#: measure every gate of docs/PERFORMANCE.md; takes most of an hour
bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks $(BENCH)

#: the same with small loads, in two minutes
bench-quick: $(VENV)/.dev
	@$(BIN)/python -m benchmarks --quick $(BENCH)

#: draw where the worker's CPU time goes, as docs/profile-worker.svg
profile: $(VENV)/.dev
	$(PIP) py-spy
	@$(BIN)/python -m benchmarks.flames worker docs/profile-worker.svg

#: set up .venv for working on the bridge
.venv: $(VENV)/.dev

#: remove .venv and everything that can be made again
clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find benchmarks bridge tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps, made anew whenever pyproject.toml changes: what the bridge needs to run (the demo is
# there sooner), and what working on it needs besides.
$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/pip
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/pip
	$(PIP) --editable '.[dev]'
	@touch $(VENV)/.runtime $@

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'langfuse-bridge needs Python 3.11 or newer as $(PYTHON); name another: make PYTHON=python3.12 …' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo '$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
