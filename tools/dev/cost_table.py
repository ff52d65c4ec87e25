"""What costs what: CPU time (on a GPU: time) and peak memory of a step, method by network, as a Markdown table.

    python tools/dev/cost_table.py [--size 128 128] [--batch-size 2] [--device cpu] [--iters 2] [--json OUT.json]

Each cell is a process of its own on random images, as in tools/analysis_tools/benchmark.py. Ratios are to training on
labeled source images alone with the same network.
"""
import argparse
import json
import runpy
import statistics
from pathlib import Path
from typing import Any, Optional

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis.entry import run_tool

ROOT = Path(__file__).resolve().parents[2]
#: Its ``Worker`` is a process that trains.
BENCHMARK = ROOT / 'tools/analysis_tools/benchmark.py'
#: Method -> config of it with MiT-B5; the first one is what the others are compared with.
METHODS = {
    'source only': 'daformer/source_only_daformer_mitb5_gta2cityscapes.py',
    'DeFT': 'deft/deft_daformer_mitb5_gta.py',
    'DAFormer': 'daformer/daformer_mitb5_gta2cityscapes.py',
    'DAFormer with MIC': 'mic/mic_daformer_mitb5_gta2cityscapes.py',
    'HRDA': 'hrda/hrda_mitb5_gta2cityscapes.py'}
#: Network -> options for the MiT-B5 configs.
NETWORKS = {'MiT-B0': {'arch': 'b0', 'in_channels': [32, 64, 160, 256]}, 'MiT-B3': {'arch': 'b3'}, 'MiT-B5': {}}


def options_of(network: dict[str, Any], config: str, size: list[int]) -> dict[str, Any]:
    """Config options: the encoder, and margins and detail crops that fit the size.

    Args:
        network: Of ``NETWORKS``: ``arch`` of the Mix Transformer, and ``in_channels`` of the head
            where they are not those of MiT-B5; empty for MiT-B5.
        config: Of ``METHODS``.
        size: [height, width] of the training images.
    """
    # HRDA's head has the other one inside
    head = 'model.network.decode_head' + ('.head' if 'hrda' in config else '')
    options = {'model.network.backbone.arch': network['arch']} if network else {}
    if 'in_channels' in network:
        options[f'{head}.in_channels'] = network['in_channels']
    if 'hrda' in config:
        options['model.network.hr_crop_size'] = [side // 2 for side in size]
        options['model.network.test_cfg.mode'] = 'whole'
    elif config in (METHODS['DAFormer'], METHODS['DAFormer with MIC']):
        options.update({'model.ignore_top': 0, 'model.ignore_bottom': 0})
    return options


def cell(worker: Any, config: str, network: dict[str, Any], args: argparse.Namespace) -> dict[str, float]:
    """Measure one method with one network: ``seconds`` of a step (CPU seconds on a CPU), ``memory``
    (its peak bytes).

    Args:
        worker: ``Worker`` of benchmark.py.
        config: Of ``METHODS``.
        network: Of ``NETWORKS``.
        args: Of the command line.
    """
    side = worker(ROOT, dict(config=str(ROOT / 'configs' / config), options=options_of(network, config, args.size),
                             size=args.size, batch_size=args.batch_size, device=args.device,
                             threads=1 if args.device == 'cpu' else None))
    try:
        side('plain')  # the first step is not counted
        kind = 1 if args.device == 'cpu' else 0  # of (clock, CPU)
        seconds = statistics.median(side('plain')[kind] for _ in range(args.iters))
        return dict(seconds=seconds, memory=side('memory'))
    finally:
        side.close()


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown of ``{network: {method: cell}}``, cells as :func:`cell` gives them; empty for cells
    that were not measured, or whose network has no first method to compare with.
    """
    networks = list(found)
    lines = ['| method | ' + ' | '.join(f'{n}: time | {n}: memory' for n in networks) + ' |',
             '|---|' + '---|---|' * len(networks)]
    base = next(iter(METHODS))
    for method in METHODS:
        cells = []
        for network in networks:
            own, first = found[network].get(method), found[network].get(base)
            if own is None or first is None:
                cells += ['', '']
                continue
            cells += [f'{own["seconds"] / first["seconds"]:.2f} ({own["seconds"]:.2f} s)',
                      f'{own["memory"] / first["memory"]:.2f} ({own["memory"] / 2**20:.0f} MiB)']
        lines.append(f'| {method} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(argv: Optional[list[str]] = None) -> dict[str, Any]:
    """Measure network by network, printing the table after each; ``{network: {method: cell}}``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=[128, 128], metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--iters', type=int, default=2)
    parser.add_argument('--networks', nargs='+', choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS))
    parser.add_argument('--json')
    args = parser.parse_args(argv)
    worker, found = runpy.run_path(str(BENCHMARK))['Worker'], {}
    for network in args.networks:
        found[network] = {name: cell(worker, METHODS[name], NETWORKS[network], args) for name in args.methods}
        print(table(found), flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps(found, indent=2), encoding='utf-8')
    return found


if __name__ == '__main__':
    run_tool(main)
