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
from mmseg_dg.utils import launch  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='FILE',
                        help='continue from the newest checkpoint of the work dir, or from FILE')
    parser.add_argument('--amp', action='store_true',
                        help='automatic mixed precision: float16 on a GPU, bfloat16 on the CPU')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate to the actual batch size (auto_scale_lr of the config)')
    launch.add_common_args(parser)
    return launch.finish_args(parser.parse_args(), parser)


def main() -> None:
    args = parse_args()
    cfg = launch.load_config(args)
    launch.set_resume(cfg, args.resume)
    if args.amp:
        launch.enable_amp(cfg)
    if args.auto_scale_lr:
        launch.enable_lr_scaling(cfg)
    launch.prepare_processes(cfg)
    launch.build_runner(cfg).train()
    launch.close_processes()


if __name__ == '__main__':
    main()
