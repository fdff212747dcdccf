# Each target sets up what it needs: a virtual environment, made again when the dependencies change.
VENV ?= .venv
DATA ?= ../shared/data
RUNS ?= anchored:0 anchored:1 anchored:2
PYTHON ?= python3
FUZZ ?= 20
WORLDS ?= a b
SEEDS ?= 0 1 2
SERVERS ?= .servers
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(shell command -v uv 2>/dev/null)

.PHONY: demo test test-servers matrix fuzz lint models bench bench-domains bench-index bench-query bench-calibrate bench-formats bench-policies bench-server bench-power bench-validity bench-reliance bench-train bench-injections results
.DELETE_ON_ERROR:

demo: $(STAMP)  ## index, calibrate, ask and explain, on the samples
	HF_HUB_OFFLINE=1 $(BIN)/python cli.py demo

test: lint  ## everything that is checked before a change lands
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-servers: $(STAMP)  ## through real servers, each in an environment of its own: vLLM on the CPU, llama.cpp, transformers serve
	bash tests/servers/install.sh $(SERVERS)
	HF_HUB_OFFLINE=1 TITRATE_TEST_SERVERS=$(SERVERS) $(BIN)/python -m pytest tests/servers

matrix: $(STAMP)  ## every family of models, small, beside its processor and forward pass alone; writes docs/models.md
	HF_HUB_OFFLINE=1 $(BIN)/python -m tests.families.matrix --out docs/models.md

fuzz: $(STAMP)  ## damaged files and malformed commands, FUZZ times as many as in `make test`, each time others
	HF_HUB_OFFLINE=1 FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/promises/fuzz

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tools.house

WORK = samples/models/.work

models: $(STAMP)  ## train the small models of samples/ from nothing, on the images in DATA, and those of the worlds in WORLDS
	$(BIN)/python -m samples.build.encoder --data $(DATA) --out samples/models/encoder --work $(WORK)
	set -e; for world in $(sort a $(WORLDS)); do \
		$(BIN)/python -m samples.build.encoder --data $(DATA) --world $$world --out $(WORK)/$$world/encoder --work $(WORK)/$$world; \
		$(BIN)/python -m samples.build.reading --data $(DATA) --world $$world --out $(WORK)/$$world/reading; \
		$(BIN)/python -m samples.build.mllm --data $(DATA) --world $$world --out $(WORK)/$$world/mllm --work $(WORK)/$$world; \
	done
	cp $(WORK)/a/mllm/* samples/models/mllm/

results: $(STAMP)  ## what retrieval is worth on archives that the models have never seen, on the data in DATA; hours
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.results --data $(DATA) --worlds $(WORLDS) --seeds $(SEEDS)

bench: $(STAMP)  ## measure the small models on the research data in DATA; the figures of docs/results.md
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.models --data $(DATA)

bench-domains: bench/index  ## routing, refusals, and what is recognised as none of the domains
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.domains --data $(DATA) --index bench/index

bench-index: $(STAMP)  ## images a second of a build beside the bare loop and LlamaIndex, and its memory
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.index

bench-query: $(STAMP)  ## time of a search among 10k, 100k and 1M vectors, beside others
	$(BIN)/python -m benchmarks.query

bench-calibrate: $(STAMP)  ## nested scoring beside one pass for each k
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.calibrate

bench-formats: $(STAMP)  ## answers that another number format changes, and those asked otherwise than calibrated
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.scoring.formats

bench-policies: $(STAMP)  ## blends and gates beside fixed k, and the smallest alpha that is certified, on the data in DATA
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.policies --data $(DATA)

bench-server: $(STAMP)  ## calibration over the vLLM server MLLM beside a bare loop, and the tokens that it computes
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.servers.cost --mllm $(MLLM)

bench-power: $(STAMP)  ## chance to certify against the number of patients
	$(BIN)/python -m benchmarks.power

bench-validity: bench/index  ## how often certificates promise what is not so: simulated patients, resampled ones of DATA
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.validity --worlds --data $(DATA)

bench-reliance: bench/index  ## what preference training does to over-reliance, mined and judged on DATA; hours
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.reliance --data $(DATA) --runs $(RUNS)

bench-train: $(STAMP)  ## tokens a second and memory of training beside TRL's own trainer
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.train

bench-injections: $(STAMP)  ## what reports that order an answer do, with and without the fence, on the samples
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.injections

bench/index: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python cli.py index $(DATA)/corpus.jsonl --index bench/index --encoder local-dir:samples/models/encoder

$(STAMP): pyproject.toml constraints.txt
ifdef UV
	test -x $(BIN)/python || uv venv --quiet --python ">=3.11" $(VENV)
	uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
else
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11; run: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
endif
	touch $@
