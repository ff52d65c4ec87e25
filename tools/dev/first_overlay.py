"""How long it takes from `pip install` to the first overlay on one's own photo, in an environment made for it.

Steps, each timed: a virtual environment, torch and torchvision, the package with what it needs, `mmseg-dg predict`
with the network of the package on one photo. Nothing is taken from pip's cache.

    python tools/dev/first_overlay.py photo.jpg --torch-index https://download.pytorch.org/whl/cpu
"""
import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photo', type=Path, metavar='IMAGE')
    parser.add_argument('--torch-index', metavar='URL', help='index to take torch and torchvision from')
    parser.add_argument('--torch', nargs='+', default=['torch', 'torchvision'], metavar='WHAT',
                        help='builds to install, e.g. torch==2.13.0+cpu torchvision==0.28.0')
    parser.add_argument('--package', default=str(ROOT), metavar='WHAT', help='clone or wheel (default: this clone)')
    parser.add_argument('--folder', type=Path, metavar='DIR', help='keep everything there; else it is thrown away')
    return parser.parse_args()


def steps(args: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """Name -> command, in their order; those of README.md and docs/predict.md."""
    pip = [str(folder / 'env/bin/python'), '-m', 'pip', 'install', '-q', '--no-cache-dir']
    index = ['--index-url', args.torch_index] if args.torch_index else []
    return {
        'environment': [sys.executable, '-m', 'venv', str(folder / 'env')],
        'torch, torchvision': [*pip, *args.torch, *index],
        'package': [*pip, f'{args.package}[mim]'],
        'first overlay': [str(folder / 'env/bin/mmseg-dg'), 'predict', 'mmseg_dg://city_day_mobilenetv2',
                          str(args.photo.absolute()), '--out', str(folder / 'out'), '--overlay']}


def processor_seconds() -> float:
    """CPU seconds of all child processes that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(args: argparse.Namespace, folder: Path) -> float:
    """Run the steps one after the other, and print what each took; returns their seconds together."""
    # the new environment must not see this one's packages
    environment = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'PYTHONHOME')}
    total = 0.
    for name, command in steps(args, folder).items():
        begin, used = time.perf_counter(), processor_seconds()
        subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        total += (seconds := time.perf_counter() - begin)
        sys.stdout.write(f'{name}: {seconds:.0f} s, of a processor {processor_seconds() - used:.0f} s\n')
        sys.stdout.flush()
    overlays = list((folder / 'out/overlays').iterdir())
    sys.stdout.write(f'together {total:.0f} s, of a processor {processor_seconds():.0f} s; {overlays[0].name}\n')
    return total


def main() -> None:
    args = parse_args()
    if args.folder:
        args.folder.mkdir(parents=True)
        measure(args, args.folder.absolute())
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


if __name__ == '__main__':
    main()
