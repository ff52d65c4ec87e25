#!/usr/bin/env bash
# Usage: bash tools/dist_train.sh CONFIG GPUS [train.py options]
#
# Starts GPUS processes on this machine, one per GPU; without GPUs, CPU processes that talk over gloo.
# Several machines: run it on each with the same NNODES, MASTER_ADDR and PORT, and NODE_RANK 0, 1, ...
#   PORT         port of the first machine                (default 29500; two runs on one machine need two ports)
#   NNODES       number of machines                       (default 1)
#   NODE_RANK    number of this machine, from 0           (default 0)
#   MASTER_ADDR  address of the first machine             (default 127.0.0.1)
#   PYTHON       the interpreter                          (default python)
set -euo pipefail
if [ "$#" -lt 2 ]; then
    sed -n '2s/^# //p' "$0" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
TOOLS=$(cd "$(dirname "$0")" && pwd -P)

# the repository in front of what is installed, if this is a repository and not an installed package
if [ -d "$TOOLS/../mmseg_dg" ]; then
    export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"
fi
# Signals go to the training processes themselves: torchrun would give them 30 seconds. Its own status is always 1; the
# processes leave theirs in a file.
MMSEG_DG_STATUS_FILE=$(mktemp)
export MMSEG_DG_STATUS_FILE
"${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/train.py" "$CONFIG" --launcher pytorch "${@:3}" &
AGENT=$!
pass_on() {
    for child in $(cat "/proc/$AGENT/task/"*/children 2> /dev/null); do
        kill -USR1 "$child" 2> /dev/null || true
    done
}
trap pass_on TERM INT USR1
STATUS=0
while :; do
    wait "$AGENT" && STATUS=0 || STATUS=$?  # a signal that was passed on ends the waiting, not the run
    kill -0 "$AGENT" 2> /dev/null || break
done
if [ -s "$MMSEG_DG_STATUS_FILE" ]; then
    STATUS=$(cat "$MMSEG_DG_STATUS_FILE")
fi
rm -f "$MMSEG_DG_STATUS_FILE"
exit "$STATUS"
