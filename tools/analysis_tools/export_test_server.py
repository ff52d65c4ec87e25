"""Predict a test set and pack it for its server:

    python tools/analysis_tools/export_test_server.py CONFIG CHECKPOINT --server acdc --out acdc.zip
    python tools/analysis_tools/export_test_server.py --predictions DIR --server acdc --out acdc.zip

Servers: cityscapes (label ids), acdc and dark_zurich (train ids). The pipeline is that of the config's test domain
with the server's dataset (or --domain). --predictions packs train ids that tools/test.py --out has saved.
"""
import os
import re
import sys

# mmengine looks for a GPU once, when it is imported: hide the GPUs before that if the CPU is asked for
if re.search(r'--(device[ =]cpu|gpus[ =]0)( |$)', ' '.join(sys.argv)):
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'

import argparse  # noqa: E402
import shutil  # noqa: E402

from mmengine.dist import barrier, is_main_process  # noqa: E402

import mmseg_dg  # noqa: E402,F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis import launch  # noqa: E402
from mmseg_dg.apis.entry import run_tool  # noqa: E402
from mmseg_dg.apis.test_server import SERVERS, pack, prepare  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    parser.add_argument('--server', choices=list(SERVERS), required=True)
    parser.add_argument('--out', required=True, metavar='FILE', help='zip file to write')
    parser.add_argument('--predictions', metavar='DIR', help='pack these train ids instead of predicting')
    parser.add_argument('--data-root', help="folder of the test images' dataset (default: of the test domain)")
    parser.add_argument('--domain', help='test domain whose pipeline is used')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation as in tta_pipeline of the config')
    parser.add_argument('--allow-incomplete', action='store_true', help='pack another number of files than the server '
                        'wants')
    launch.add_common_args(parser)
    args = launch.finish_args(parser.parse_args(), parser)
    if bool(args.predictions) == bool(args.config and args.checkpoint):
        parser.error('give CONFIG and CHECKPOINT, or --predictions DIR')
    if args.checkpoint and not os.path.isfile(args.checkpoint):
        parser.error(f'there is no checkpoint {args.checkpoint}')
    return args


def predict(args: argparse.Namespace) -> str:
    """Predict the server's test set, save train ids as PNG below the work dir; returns the folder."""
    cfg = launch.load_config(args)
    cfg.resume, cfg.load_from = False, args.checkpoint
    folder = os.path.join(cfg.work_dir, 'test_server', args.server)
    prepare(cfg, SERVERS[args.server], folder, args.data_root, args.domain)
    if args.tta:
        launch.enable_tta(cfg)
    launch.prepare_processes(cfg)
    if os.environ.get('RANK', '0') == '0':  # predictions of an earlier call; no process predicts before all have met
        shutil.rmtree(folder, ignore_errors=True)
    launch.build_runner(cfg).test()
    barrier()  # every process has saved its images
    return folder


def main() -> None:
    args = parse_args()
    folder = args.predictions or predict(args)
    if is_main_process():
        count = pack(folder, SERVERS[args.server], args.out, args.allow_incomplete)
        print(f'{count} predictions in {args.out}')
    launch.close_processes()


if __name__ == '__main__':
    run_tool(main)
