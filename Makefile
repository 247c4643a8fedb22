# Each target first installs what it needs into .venv. This requires Python 3.11 or newer and access to the package registries.
# TORCH_INDEX=URL adds an index of wheels, such as PyTorch's index for the CPU. Without it, pip may install a build for GPUs.

HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# Tests run in two processes, file by file, in the usual order: no event loop can start in a process after its browser tests.
IN_PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
# as an environment variable, the constraints also apply where pip builds a package in isolation
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test quick test-ops check bundle bench docker-check clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

run: $(VENV)/.ready bundle ## serve on http://HOST:PORT (127.0.0.1:8000)
	@exec $(BIN)/tapedeck serve --host $(HOST) --port $(PORT)

test: check ## lint, check types and run all tests (ARGS= for pytest)
	@$(BIN)/pytest $(IN_PARALLEL) $(ARGS)

quick: $(VENV)/.ready-dev bundle ## run the fast tests: no browser, no sandbox; a few minutes
	@$(BIN)/pytest $(IN_PARALLEL) -q -m "not browser and not sandbox and not slow and not ops" $(ARGS)

test-ops: $(VENV)/.ready-dev bundle ## run the tests that take minutes: all operators of torch, 2,000 random programs
	@$(BIN)/pytest -q -m ops $(ARGS)

check: $(VENV)/.ready-dev bundle ## lint and check types, Python and JavaScript
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python static/bundle.py --check

bundle: $(VENV)/.ready ## bundle the front end into static/dist
	@$(BIN)/python static/bundle.py

bench: $(VENV)/.ready-dev $(VENV)/.ready-bench bundle ## run all benchmarks
	@for name in results browser pan playback reads record request scrub throughput growth; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

docker-check: ## build the container image, start it locked down, and test it
	@.ci/docker-check

clean: ## remove everything that make created
	rm -rf $(VENV) build app/native/*.so static/dist static/dist.new node_modules *.egg-info app/*.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results
	find app tests benchmarks static -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# One stamp file per set of packages. The lock serializes installs; a make that waited finds the stamp up to date.
$(VENV)/.ready: EXTRA :=
$(VENV)/.ready-dev: EXTRA := [dev]
$(VENV)/.ready-bench: EXTRA := [bench]

$(VENV)/.ready-dev $(VENV)/.ready-bench: | $(VENV)/.ready

$(VENV)/.ready $(VENV)/.ready-dev $(VENV)/.ready-bench: pyproject.toml constraints.txt static/bundle.py static/compile.py app/native/statistics.c
	@flock Makefile .ci/install $@ '$(EXTRA)' $(INDEX)
