"""Evaluate a checkpoint: ``python tools/test.py CONFIG FILE`` or ``mim test mmseg_dg CONFIG --checkpoint FILE``.

Every domain of the config's ``test_dataloader`` is evaluated. Several processes: ``bash tools/dist_test.sh``.
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
from mmseg_dg.apis.label_free import add_label_free  # noqa: E402
from mmseg_dg.utils.work_dir import newest_loadable  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, or a work dir: the newest readable one in it')
    parser.add_argument('--out', metavar='DIR', help='save predicted label maps (PNG), one folder per domain')
    parser.add_argument('--show-dir', metavar='DIR', help='save images painted with the predictions')
    parser.add_argument('--label-free', action='store_true',
                        help='also score predictions without labels; domains without masks get these scores alone')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation as in tta_pipeline of the config')
    launch.add_common_args(parser)
    args = launch.finish_args(parser.parse_args(), parser)
    if os.path.isdir(args.checkpoint):
        newest = newest_loadable(args.checkpoint, complete=False)  # weights alone will do
        if newest is None:
            parser.error(f'there is no checkpoint in {args.checkpoint}')
        args.checkpoint = str(newest)
    # mmseg_dg://NAME is no file here, and looked up when it is loaded
    if '://' not in args.checkpoint and not os.path.isfile(args.checkpoint):
        parser.error(f'there is no checkpoint {args.checkpoint}')
    return args


def main() -> None:
    args = parse_args()
    cfg = launch.load_config(args)
    cfg.resume, cfg.load_from = False, args.checkpoint
    if args.label_free:
        add_label_free(cfg)
    if args.out:
        launch.save_predictions(cfg, args.out)
    if args.show_dir:
        launch.show_predictions(cfg, args.show_dir)
    if args.tta:
        launch.enable_tta(cfg)
    launch.prepare_processes(cfg)
    launch.build_runner(cfg).test()
    launch.close_processes()


if __name__ == '__main__':
    run_tool(main)
