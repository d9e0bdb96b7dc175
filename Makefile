# make demo   a study of phantom cells in ten minutes: demo/study/report.html
# make test   run the tests
# make lint   check the style
# make docs   build the documentation as a site, in site/; a broken link is an error
# Each makes .venv first, once, from requirements/constraints.txt.

SHELL := /bin/bash
# The first Python 3.10-3.14 that runs; override with PYTHON=...
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
READY := $(VENV)/.ready
DOCS_VENV := .venv-docs
DOCS_READY := $(DOCS_VENV)/.ready
DEMO := demo
# Empty: PyTorch of PyPI, on Linux with CUDA. Another index: PyTorch of there, without NVIDIA's packages,
# e.g. for CPUs alone TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH := ^(torch|torchvision|triton)==|^(nvidia|cuda)-
# Test files run side by side, one process each, in the order of tests/conftest.py.
TEST_JOBS ?= 2
# bfloat16 is faster where the processor computes in it, and slower where it does not.
DEMO_AMP = $(shell grep -qsw avx512_bf16 /proc/cpuinfo && echo --amp)
# Eight minutes; phantoms, environment and what is slower than measured have two more.
DEMO_HOURS := 0.133
DEMO_IMAGES := train=200,val=50,test=50
# Further options of its study.
DEMO_MORE :=

.PHONY: demo test lint docs env clean

env: $(READY)

$(READY): requirements/constraints.txt setup.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python from 3.10 to 3.14 found; install one or say make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH_INDEX),)
	$(PIP_INSTALL) -r requirements/constraints.txt
else
	grep -E '^(torch|torchvision)==' requirements/constraints.txt > $(VENV)/torch.txt
	grep -vE '$(TORCH)' requirements/constraints.txt > $(VENV)/others.txt
	$(PIP_INSTALL) --index-url $(TORCH_INDEX) -r $(VENV)/torch.txt
	$(PIP_INSTALL) -r $(VENV)/others.txt
endif
	$(PIP_INSTALL) --no-build-isolation -e .
	@# mim looks for the package in site-packages only (docs/install.md)
	ln -sfn "$(CURDIR)/cellgan_plugin" "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cellgan_plugin"
	touch $(READY)

demo: $(READY)
	$(BIN)/python tools/dataset_converters/phantom.py --out $(DEMO)/data --size 64 --splits $(DEMO_IMAGES) --workers 2
	$(BIN)/python tools/study.py $(DEMO)/data --out $(DEMO)/study --title "Phantom cells" --hours $(DEMO_HOURS) --folds 1 --jobs 2 --steps 300 --beside cellgan_phantom $(DEMO_AMP) $(DEMO_MORE)

test: $(READY)
	$(BIN)/python -m pytest --numprocesses $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check cellgan_plugin tools tests docs/mkdocs_hooks.py setup.py
	$(BIN)/ruff format --check cellgan_plugin tools tests docs/mkdocs_hooks.py setup.py

docs: $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict

$(DOCS_READY): requirements/docs.txt
	test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/docs.txt
	touch $(DOCS_READY)

clean:
	rm -rf $(VENV) $(DOCS_VENV) $(DEMO) site
