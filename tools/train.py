"""Train a model: ``python tools/train.py CONFIG`` or ``mim train mmseg_dg CONFIG``.

Several processes: ``bash tools/dist_train.sh CONFIG 2``, ``mim train mmseg_dg CONFIG --launcher pytorch --gpus 2``.
"""
import argparse
import os
import re
import sys

# mmengine looks for a GPU once, when it is imported: hide the GPUs before that if the CPU is asked for
if re.search(r'--(device[ =]cpu|gpus[ =]0)( |$)', ' '.join(sys.argv)):
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'

import mmseg_dg  # noqa: E402,F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis import launch  # noqa: E402
from mmseg_dg.apis.entry import run_tool  # noqa: E402
from mmseg_dg.utils import stop_signals  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    launch.add_run_args(parser)
    parser.add_argument('--amp', action='store_true',
                        help='automatic mixed precision: float16 on a GPU, bfloat16 on the CPU')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate to the actual batch size (auto_scale_lr of the config)')
    launch.add_common_args(parser)
    return launch.finish_args(parser.parse_args(), parser)


def main() -> int:
    """Train; the exit status is 0 at the end of the training and 75 for a run that a signal stopped."""
    args = parse_args()
    cfg = launch.load_config(args)
    launch.set_resume(cfg, args.resume, args.resume_weights_only, args.overwrite)
    if args.amp:
        launch.enable_amp(cfg)
    if args.auto_scale_lr:
        launch.enable_lr_scaling(cfg)
    launch.check_weights(cfg)
    stop_signals.listen()
    try:
        launch.claim_work_dir(cfg)
        launch.prepare_processes(cfg)
        runner = launch.build_runner(cfg)
        with launch.recorded(runner, sys.argv):
            runner.train()
    except stop_signals.StoppedEarly as signal:  # before the first iteration
        return launch.say_how_to_continue(cfg, str(signal), sys.argv)
    status = 0
    # the checkpoint hook names the signal there, after it has written a checkpoint
    if getattr(runner, 'stopped_by', None):
        status = launch.say_how_to_continue(cfg, runner.stopped_by, sys.argv)
        launch.leave_together()
    launch.close_processes()
    return status


if __name__ == '__main__':
    run_tool(main)
