# CPU:   docker build -t cellgan .
# CUDA:  docker build -t cellgan:cuda --build-arg TORCH_INDEX= \
#            --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 .
# BASE needs apt-get; where it has no Python 3.10-3.14, Python comes from apt.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends make \
    && (command -v python3 || apt-get install -y --no-install-recommends python3 python3-venv) \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/cellgan_plugin
COPY . .
# Empty: PyTorch with CUDA, from PyPI, as in requirements/constraints.txt.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1
RUN make env PYTHON=python3 TORCH_INDEX=${TORCH_INDEX}

ENV PATH=/opt/cellgan_plugin/.venv/bin:${PATH}
CMD ["python", "-m", "cellgan_plugin.report"]
