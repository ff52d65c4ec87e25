#!/usr/bin/env bash
# Usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [train.py options]
#
# Starts one process per GPU through srun.
#   GPUS           processes in total                     (default 4)
#   GPUS_PER_NODE  GPUs of each machine                   (default: GPUS, at most 8)
#   CPUS_PER_TASK  cores for each process                 (default 5)
#   SRUN_ARGS      further options of srun, e.g. "--time=24:00:00 --mem=64G"
#   MASTER_PORT    port of the first process              (default 29500)
#   PYTHON         the interpreter                        (default python)
#   STOP_SIGNAL    sent that many seconds before the time limit: the run writes a checkpoint and ends with status 75
#                                                         (default USR1@180; docs/reliability.md)
set -euo pipefail
if [ "$#" -lt 3 ]; then
    sed -n '2s/^# //p' "$0" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
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
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 --signal="${STOP_SIGNAL:-USR1@180}" ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$TOOLS/train.py" "$CONFIG" --launcher slurm "${@:4}"
