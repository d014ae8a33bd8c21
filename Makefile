# make demo | check | test | test-slow | bench | ui     each sets up .venv first; `make setup` does only that
# make test-services                    the servers of docker/compose.yaml and several machines, see docs/team.md
# make test-tpu                         sets up .venv-tpu, for TPUs; `make setup-tpu` does only that
# TORCH=cpu|cuda                        which build of torch; by default what .venv has, else cuda where nvidia-smi is found
# JOBS=1                                how many stages `make demo` runs at once
# PYTHON=/path/to/python3.11            the interpreter .venv is made from
# MLFLOW_PORT=5000 PREFECT_PORT=4200    where `make ui` listens, on 127.0.0.1

SHELL := /bin/bash
PYTHON ?= $(or $(shell for p in python3.11 python3.12 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done),python3)
TORCH ?= $(or $(patsubst .venv/.ready-%,%,$(firstword $(wildcard .venv/.ready-*))),$(if $(shell which nvidia-smi 2>/dev/null),cuda,cpu))

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PREFECT_HOME := $(CURDIR)/.prefect
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: demo check test test-slow test-services test-tpu bench ui setup setup-tpu
demo: setup
	python -m flows.pipeline $(if $(JOBS),--concurrency $(JOBS))

check: setup
	ruff check .
	ruff format --check .
	mypy

# A file at a time for each of two processes, in the order of names: test_pipeline and test_pretrain, the longest, run side by side.
TWO := -n 2 --dist loadfile --no-loadscope-reorder
test: setup
	python -m pytest -m "not slow and not services" $(TWO)

test-slow: setup
	python -m pytest -m slow $(TWO)

# On what make demo made; docs/performance.md has the commands of other sizes.
bench: setup
	python -m bench.pretrain data/mask/whole-word/64/train --length 64
	python -m bench.finetune models/bert reviews --length 64

# With PostgreSQL from the system's packages; what else a team's servers need is an extra.
test-services: setup .venv/.ready-services
	python -m pytest -m services tests/test_services.py

test-tpu: setup-tpu
	.venv-tpu/bin/python -m pytest tests/test_tpu.py

# The job executor of MLflow would take 1 GB of memory.
ui: export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
ui: REMOTE = $(filter http://% https://%,$(MLFLOW_TRACKING_URI))
ui: MLFLOW_PORT ?= 5000
ui: PREFECT_PORT ?= 4200
# Else the page asks port 4200 whatever the server's own is.
ui: export PREFECT_SERVER_UI_API_URL = http://127.0.0.1:$(PREFECT_PORT)/api
# Any page that a browser shows, and any user of this machine, could else have the workers run commands.
ui: export PREFECT_SERVER_CORS_ALLOWED_ORIGINS = http://127.0.0.1:$(PREFECT_PORT),http://localhost:$(PREFECT_PORT)
ui: setup
	@$(if $(REMOTE),,python -m wwm.track.database)
	@python -m wwm.track.links $(or $(REMOTE),http://127.0.0.1:$(MLFLOW_PORT)) http://127.0.0.1:$(PREFECT_PORT)
	@echo "Prefect's page asks once for a password: the line in $(PREFECT_HOME)/auth."
	@echo "Ctrl-C stops what runs here."
	@export PREFECT_SERVER_API_AUTH_STRING=$$(python -m flows.password); \
	trap 'kill $$mlflow $$prefect 2>/dev/null; wait' EXIT; trap 'exit 0' INT TERM; \
	$(if $(REMOTE),,mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --workers 1 --host 127.0.0.1 --port $(MLFLOW_PORT) & mlflow=$$!;) \
	prefect server start --host 127.0.0.1 --port $(PREFECT_PORT) & prefect=$$!; \
	wait -n

setup: .venv/.ready-$(TORCH)

# A wheel of torch at hand (PIP_FIND_LINKS) is taken as it is; else the CPU build comes from PyTorch's own index.
# Bytecode is compiled at once: where Python may not write any, every stage would compile torch and transformers anew.
# --torch-backend asks that index for torch alone. pip is for where uv cannot go: it reads pip.conf and its mirrors.
WHEEL := $(wildcard $(addsuffix /torch-*.whl,$(PIP_FIND_LINKS)))
CPU := $(if $(WHEEL),,$(filter cpu,$(TORCH)))
WHAT := torch==2.13.0 -c constraints.txt -e '.[dev]'
.venv/.ready-$(TORCH): pyproject.toml constraints.txt
	@case "$(TORCH)" in cpu|cuda) ;; *) echo "TORCH=$(TORCH): choose cpu or cuda" >&2; exit 1;; esac
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
	{ echo "$(PYTHON) is not Python 3.11 or 3.12: install one and run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install --quiet uv || echo "uv cannot be installed here; pip takes minutes longer"
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip install --compile-bytecode $(if $(CPU),--torch-backend cpu) $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"} $(WHAT) || \
	.venv/bin/pip install $(if $(CPU),--extra-index-url https://download.pytorch.org/whl/cpu) $(WHAT)
	touch $@

.venv/.ready-services: .venv/.ready-$(TORCH)
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip install --compile-bytecode -c constraints.txt -e '.[s3,services]'
	touch $@

# torch-xla goes with one version of torch alone, older than ours, which brings its CUDA libraries along: 9 GB.
setup-tpu: .venv-tpu/.ready
.venv-tpu/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv-tpu
	.venv-tpu/bin/pip install --quiet uv
	grep -v '^torch==' constraints.txt > .venv-tpu/constraints.txt
	echo torch==2.9.1 > .venv-tpu/overrides.txt
	VIRTUAL_ENV=$(CURDIR)/.venv-tpu .venv-tpu/bin/uv pip install --compile-bytecode -c .venv-tpu/constraints.txt --override .venv-tpu/overrides.txt 'torch-xla[tpu]==2.9.0' -e '.[dev]'
	touch $@
