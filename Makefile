# Everything a newcomer runs. Each target sets up what it needs.
# The first Python here that Triton's wheel works with (NumPy < 2 ends at 3.12), and that can make an environment.
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.10; do \
	$$python -c 'import ensurepip, sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2> /dev/null && echo $$python && break; done)
BIN := .venv/bin
EXTRAS := client,export,networks,server,cpu,benchmarks,test,lint
MODELS := model_repository/segment/1/export.json
# One after the other, with the machine to themselves: batches fill by the clock, and benchmarks read it.
ALONE := tests/server/test_batching.py $(patsubst %,tests/benchmarks/test_%.py,host simulate)

# Minutes of compiling, and of a rehearsal: run where AOTInductor's format, its kernels or the GPU's benchmark is changed.
COMPILED := tests/server/test_aoti.py tests/export/networks/test_gelu_kernel.py tests/benchmarks/test_gpu.py

.PHONY: help demo test lint docker-test serve sweep export clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z_-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z_-]+):.*## /\1\t/' | expand -t 17

demo: $(MODELS) ## the sample photos through the real server; a contact sheet and a gallery in out/demo/
	$(BIN)/python demo.py

test: $(MODELS) ## the tests, against the real server
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(addprefix --ignore ,$(ALONE) $(COMPILED))
	$(BIN)/python -m pytest $(ALONE)

lint: .venv/installed ## ruff, mypy --strict and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy contract client docker export server benchmarks tests docs demo.py
	$(BIN)/mypy model_repository/decode/1
	$(BIN)/mypy model_repository/encode/1

docker-test: .venv/installed ## both images built and the compose file run, on a Docker engine of its own (root, ten minutes)
	$(BIN)/python -m tests.docker

serve: $(MODELS) ## the embedded Triton on ports 8000–8002 until Ctrl-C
	$(BIN)/python -m server

sweep: $(MODELS) ## batch sizes against throughput, latency and GPU memory: tables and plots in out/sweep/
	$(BIN)/python -m benchmarks sweep

export: .venv/installed ## write the networks of the default preset into model_repository/
	$(BIN)/python -m export

clean: ## remove what was built: environment, networks, output
	rm -rf .venv build out model_repository/*/configs
	rm -rf $(foreach file,*.onnx *.pt *.pt2 weights-*.data reference.npz export.json vocab.json merges.txt prompts.json,model_repository/*/1/$(file))

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.10, 3.11 or 3.12 with venv is here, and Triton's wheel works with no newer one: install it\
	 (apt install python3.12-venv libpython3.12, or uv python install 3.12), or name one: make PYTHON=FILE $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	@# Python compiles what it imports; compiling all of it here would take as long again.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable '.[$(EXTRAS)]'
	touch $@

# Networks are exported again when their source or contract has changed: two at a time, each keeps one core busy.
$(MODELS): .venv/installed $(wildcard contract/*.py export/*.py export/*/*.py export/*/*/*.py) $(wildcard model_repository/*/config.pbtxt)
	@mkdir -p build
	$(BIN)/python -m export --only segment --only albedo > build/export.txt 2>&1 & first=$$!; \
	$(BIN)/python -m export --only shadow --only recombine; code=$$?; \
	wait $$first || code=1; cat build/export.txt; exit $$code
	touch $@
