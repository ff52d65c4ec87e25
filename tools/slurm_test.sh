#!/usr/bin/env bash
# Usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [test.py options]
#
# Starts one process per GPU through srun.
#   GPUS           processes in total                     (default 4)
#   GPUS_PER_NODE  GPUs of each machine                   (default: GPUS, at most 8)
#   CPUS_PER_TASK  cores for each process                 (default 5)
#   SRUN_ARGS      further options of srun, e.g. "--time=24:00:00 --mem=64G"
#   MASTER_PORT    port of the first process              (default 29500)
#   PYTHON         the interpreter                        (default python)
set -euo pipefail
if [ "$#" -lt 4 ]; then
    sed -n '2s/^# //p' "$0" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
TOOLS=$(cd "$(dirname "$0")" && pwd -P)

if [ -d "$TOOLS/../mmseg_dg" ]; then
    export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"
fi
# mmengine's slurm launcher reads MASTER_PORT
export MASTER_PORT=${MASTER_PORT:-29500}
# SRUN_ARGS is split into words on purpose
# shellcheck disable=SC2086
exec srun -p "$PARTITION" --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" --ntasks="$GPUS" --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "${@:5}"
