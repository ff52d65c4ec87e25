"""Write a trained network as a file for elsewhere: safetensors, ONNX, torch.export or MMSegmentation.

Examples::

    python tools/export.py work_dirs/run/my.py work_dirs/run/iter_40000.pth --to onnx --out exported
    python tools/export.py runs/night --to onnx --out exported                      # what mmseg-dg adapt or train left
    python tools/export.py CONFIG CHECKPOINT --to onnx --normalize --argmax        # OpenCV's image in, classes out
    python tools/export.py CONFIG mmseg_dg://city_day_mobilenetv2 --to safetensors --network teacher

The file holds its classes, preprocessing, config, score and the encoder's license, and has a hash in its name. A graph
takes images of any size and batch, and is compared with the network before it is kept. See docs/export.md. mim run:
`mim run mmseg_dg export ...`.
"""
import argparse
import os
import sys

os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')  # mmengine looks for a GPU once; nothing here needs one

import mmseg_dg  # noqa: E402,F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool  # noqa: E402
from mmseg_dg.apis.export import export_network  # noqa: E402
from mmseg_dg.apis.export.writers import ENDINGS  # noqa: E402
from mmseg_dg.apis.loading import model_files  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', metavar='CONFIG', help='config of the run; or, without CHECKPOINT, the folder of a '
                        'training, or a checkpoint with its config beside it')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', nargs='?',
                        help='checkpoint of the run, or weights of the package')
    parser.add_argument('--to', required=True, choices=list(ENDINGS), help='format')
    parser.add_argument('--out', default='.', metavar='DIR', help='folder of the file (default: this one)')
    parser.add_argument('--name', metavar='NAME', help='its name, before the hash (default: config and network)')
    parser.add_argument('--network', metavar='NAME', help='student, teacher, ... (default: the one that is evaluated)')
    parser.add_argument('--normalize', action='store_true', help='graphs: read uint8 BGR images and normalize them')
    parser.add_argument('--argmax', action='store_true', help='graphs: give class ids instead of logits')
    parser.add_argument('--plain', action='store_true', help='graphs: the plain classifier of a network that samples')
    parser.add_argument('--no-compare', action='store_true', help='graphs: do not run the file beside the network')
    return parser.parse_intermixed_args()  # CHECKPOINT may stand behind the options


def main() -> None:
    """Write the file, and print its path, how well it agrees with the network, remarks, metadata."""
    args = parse_args()
    config, checkpoint = args.config, args.checkpoint
    if checkpoint is None:  # CONFIG is the folder of a training, or a checkpoint
        config, checkpoint = model_files(config)
    done = export_network(config, checkpoint, args.to, args.out, name=args.name, network=args.network,
                          normalize=args.normalize, argmax=args.argmax, plain=args.plain,
                          compare=not args.no_compare)
    sys.stdout.write(f'{done.path}\n')
    compared = [f'compared with the network: {done.agreement}'] if done.agreement else []
    for line in [*compared, *done.notes]:
        sys.stdout.write(f'  {line}\n')
    metadata = done.metadata
    sys.stdout.write(f'  network "{metadata["network"]}", {len(metadata["classes"])} classes, score '
                     f'{metadata["score"] or "not recorded"}, encoder: {metadata["encoder"]["license"]}\n')


if __name__ == '__main__':
    run_tool(main)
