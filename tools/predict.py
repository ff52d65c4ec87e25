"""Segment an image, a folder, a list or a video with a trained model.

Examples::

    python tools/predict.py configs/demo/daformer_synthcity_demo.py work_dirs/run/iter_150.pth photos --out out
    python tools/predict.py CONFIG CHECKPOINT drive.mp4 --out out --overlay --confidence
    python tools/predict.py runs/night photos --out out --overlay        # what mmseg-dg adapt or train left
    python tools/predict.py mmseg_dg://city_day_mobilenetv2 'photos/**/*.jpg' --out out --device cpu

Writes label maps, class shares and, where asked, overlays with a legend and confidence maps, under the names of the
inputs. No labels are read. Files that cannot be read are skipped, named at the end, and the exit status is then 1.
mim run: `mim run mmseg_dg predict ...`.
"""
import argparse
import os
import re
import sys
from typing import Optional

# mmengine looks for a GPU once, when it is imported: hide the GPUs before that if the CPU is asked for
if re.search(r'--device[ =]cpu( |$)', ' '.join(sys.argv)):
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'

import mmseg_dg  # noqa: E402,F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool  # noqa: E402
from mmseg_dg.apis.inference import load_model  # noqa: E402
from mmseg_dg.apis.loading import load  # noqa: E402
from mmseg_dg.apis.predict_files import predict_files  # noqa: E402
from mmseg_dg.evaluation import LabelFreeMetric  # noqa: E402
from mmseg_dg.utils.allocator import keep_freed_memory  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', metavar='CONFIG', help='config file of the model; or, without CHECKPOINT, the '
                        'folder of a training, a checkpoint with its config beside it, an exported file')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', nargs='?', help='checkpoint, or weights of the package')
    parser.add_argument('input', metavar='INPUT', help='image, folder, quoted pattern, text file of paths, or video')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the results')
    parser.add_argument('--overlay', action='store_true', help='also write the images painted with their classes')
    parser.add_argument('--confidence', action='store_true', help='also write the probability of the predicted class')
    parser.add_argument('--label-free', action='store_true',
                        help='also write label_free.csv: scores of the predictions that need no labels')
    parser.add_argument('--batch-size', type=int, default=1, metavar='N', help='images at once (default: 1)')
    parser.add_argument('--device', metavar='NAME', help='cpu, cuda, cuda:1, ... (default: a GPU if there is one)')
    return parser.parse_intermixed_args()  # paths may stand before and behind the options


def main() -> Optional[int]:
    args = parse_args()
    if args.checkpoint is None:  # CONFIG is a folder, a checkpoint or an exported file
        model = load(args.config, args.device).model
    else:
        model = load_model(args.config, args.checkpoint, args.device)
    keep_freed_memory(model)
    written = predict_files(model, args.input, args.out, args.overlay, args.confidence, args.batch_size,
                            args.label_free)
    sys.stdout.write(f'{written.images} images: {written.folder}\n')
    if written.label_free:
        sys.stdout.write(f'label-free scores: {written.label_free} ({LabelFreeMetric().note})\n')
    if written.skipped:
        head = f'{len(written.skipped)} of {len(written.skipped) + written.images} files cannot be read:'
        sys.stderr.write('\n  '.join([head, *written.skipped]) + '\n')
        return 1
    return None


if __name__ == '__main__':
    run_tool(main)
