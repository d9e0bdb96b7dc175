#!/usr/bin/env bash
# Run a tool on several processes: tools/dist_run.sh GPUS TOOL.py [its arguments]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each. Without GPUs the processes
# are CPU processes that talk through gloo. Exit status: see tools/dist_launch.py.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: [NNODES=1 NODE_RANK=0 MASTER_ADDR=127.0.0.1 PORT=29500] $0 GPUS TOOL.py [...]" >&2
    exit 2
fi
GPUS=$1
shift
exec "${PYTHON:-python}" "$(dirname "$0")/dist_launch.py" \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$@" --launcher pytorch
