"""The shell scripts: what they start, shown by an ``echo`` in place of python and srun."""
import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def run(script, *words, **env):
    clean = {key: value for key, value in os.environ.items()
             if key not in ('PORT', 'NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'GPUS', 'GPUS_PER_NODE')}
    return subprocess.run(['bash', str(TOOLS / script), *words], env={**clean, **env}, capture_output=True, text=True)


@pytest.mark.parametrize('script, words, rest', [
    ('dist_train.sh', ['c.py', '4', '--resume', '--amp'], f'{TOOLS}/train.py c.py --launcher pytorch --resume --amp'),
    ('dist_test.sh', ['c.py', 'x.pth', '4', '--tta'], f'{TOOLS}/test.py c.py x.pth --launcher pytorch --tta')])
def test_distributed_scripts(script, words, rest):
    start = '-m torch.distributed.run --nnodes=1 --node_rank=0 --master_addr=127.0.0.1 --master_port=29500'
    assert run(script, *words, PYTHON='echo').stdout == f'{start} --nproc_per_node=4 {rest}\n'
    text = run(script, *words, PYTHON='echo', PORT='1234', NNODES='2', NODE_RANK='1', MASTER_ADDR='first').stdout
    assert '--nnodes=2 --node_rank=1 --master_addr=first --master_port=1234 --nproc_per_node=4' in text


@pytest.mark.parametrize('script, words, rest', [
    ('slurm_train.sh', ['part', 'job', 'c.py', '--resume'], 'train.py c.py --launcher slurm --resume'),
    ('slurm_test.sh', ['part', 'job', 'c.py', 'x.pth', '--tta'], 'test.py c.py x.pth --launcher slurm --tta')])
def test_slurm_scripts(script, words, rest, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho "$MASTER_PORT" "$@"\n')
    srun.chmod(0o755)
    text = run(script, *words, PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='16', GPUS_PER_NODE='8', PYTHON='py',
               SRUN_ARGS='--time=1:00 --mem=9G', MASTER_PORT='77').stdout
    assert text == ('77 -p part --job-name=job --gres=gpu:8 --ntasks=16 --ntasks-per-node=8 --cpus-per-task=5 '
                    f'--kill-on-bad-exit=1 {"--signal=USR1@180 " if "train" in script else ""}--time=1:00 --mem=9G '
                    f'py -u {TOOLS}/{rest}\n')


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_missing_arguments_show_the_usage(script):
    done = run(script, 'only_one')
    assert done.returncode == 2 and done.stderr.startswith(f'Usage: bash tools/{script} ')
    assert os.access(TOOLS / script, os.X_OK)
