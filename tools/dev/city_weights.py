"""Weights of the built-in city, one small network per method: store demos' networks with log and card.

Examples::

    make demo METHOD=hrda DEMO_DIR=work_dirs/hrda
    python tools/dev/city_weights.py work_dirs/hrda [MORE ...]      # docs/weights/city_hrda.*, table of its README.md
    python tools/dev/city_weights.py --address https://HOST/FOLDER  # where a release puts the files, for mim download
    python tools/dev/city_weights.py --check                        # files, cards and table agree

Developers only. Of each demo's folder it takes the method's arm: the evaluated network in half precision (read by
``mmseg_dg.load``), ``NAME.json`` (how it was made, scores of the network and of its control) and ``NAME.log`` (losses
and scores of the training).
``python tools/dev/config_docs.py`` then names the file in the metafile of its config.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors import safe_open

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.demo import DEMOS, DOMAINS, MEAN, Arm
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.export import export_network
from mmseg_dg.utils.atomic_files import write_text
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.work_dir import read_pointer
from mmseg_dg.weights.files import sha256_of
from mmseg_dg.weights.shipped import card as shipped_card
from mmseg_dg.weights.shipped import write_safetensors

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'docs' / 'weights'
START = 'city_day_mobilenetv2'  # shipped network that every demo begins with
TABLE = ('<!-- table: cards -->', '<!-- end -->')  # what stands around the table in README.md


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('demos', nargs='*', type=Path, metavar='DIR', help='folders that tools/demo.py wrote')
    parser.add_argument('--address', metavar='URL', help='https folder of the files; written into every card')
    parser.add_argument('--out', type=Path, default=FOLDER, metavar='DIR', help='default: docs/weights')
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where something disagrees')
    return parser.parse_args()


def store(demo: Path, out: Path) -> Path:
    """Write weights, their JSON file and the log of a demo's method; returns the JSON file.

    Raises:
        FileNotFoundError: The demo has not ended.
        ValueError: It is the demo of no known method.
    """
    summary = json.loads((demo / 'summary.json').read_text(encoding='utf-8'))
    arms = {arm['name']: arm for arm in summary['arms']}
    found = [(method, arm) for method, known in DEMOS.items() for arm in known.arms
             if arm.role == 'method' and arms.get(arm.name, {}).get('role') == 'method']
    if len(found) != 1:
        raise ValueError(f'{demo}/summary.json: its arms {sorted(arms)} are of no single demo')
    method, arm = found[0]
    work = demo / arm.name
    newest = read_pointer(work)
    if newest is None:
        raise FileNotFoundError(f'{work} has no checkpoint: has the demo ended?')
    name = f'city_{method}'
    file = out / f'{name}.safetensors'
    with tempfile.TemporaryDirectory() as folder:
        exported = export_network(str(work / arm.config), newest, 'safetensors', folder, name=name)
        with safe_open(str(exported.path), 'pt') as content:
            state = {key: content.get_tensor(key) for key in content.keys()}
            write_safetensors(state, file, content.metadata())
    file.chmod(0o644)  # safetensors makes files that their owner alone may read
    record = json.loads(max(work.glob('*/run.json')).read_text(encoding='utf-8'))
    lines = max(work.glob('*/*.log')).read_text(encoding='utf-8').splitlines(keepends=True)
    # not the environment, nor settings, which the config has: their paths are of one machine
    write_text(out / f'{name}.log', ''.join(line for line in lines if ' Iter(' in line))
    card = made_of(name, method, arm, summary, record, exported.metadata)
    card.update(precision='float16', bytes=file.stat().st_size, sha256=sha256_of(file))
    write_text(out / f'{name}.json', json.dumps(card, indent=1) + '\n')
    return out / f'{name}.json'


def made_of(name: str, method: str, arm: Arm, summary: dict, record: dict, described: dict) -> dict[str, Any]:
    """A card without what it says of the file: how the network was made, and what it was worth beside its control."""
    arms = {entry['name']: entry for entry in summary['arms']}
    start = shipped_card(START)
    controls = [entry for entry in arms.values() if entry['role'] == 'control']
    own = {key: round(arms[arm.name]['mIoU'][key], 2) for key in (*DOMAINS, MEAN)}
    return dict(
        name=name, method=method, title=arms[arm.name]['title'], network=described['network'],
        segmentor=described['segmentor'], begins_with=f'mmseg_dg://{START}', trained_on='the built-in city '
        '(SynthCityDataset), see the config', encoder_origin=start['encoder_origin'],
        encoder_license=start['encoder_license'], license='Apache-2.0', config=f'configs/demo/{arm.config}',
        command=f'python tools/demo.py --method {method} --seed {summary["seed"]}', commit=record['commit'],
        versions=record['versions'], seed=summary['seed'], iterations=described['checkpoint']['iteration'],
        cpu_seconds=record.get('cpu_seconds'), score_mIoU_percent=own,
        controls={entry['title']: {key: round(entry['mIoU'][key], 2) for key in (*DOMAINS, MEAN)}
                  for entry in controls},
        score_note=f'of the float32 network after the last iteration, {pictures_of(arm)} pictures per domain; one '
        'training')


def pictures_of(arm: Arm) -> int:
    """Validation pictures of each domain, which the config names."""
    loaders = read_config_file(ROOT / 'configs' / 'demo' / arm.config).val_dataloader
    found = {int(loaders[domain].dataset.num_images) for domain in DOMAINS}
    if len(found) != 1:
        raise ValueError(f'{arm.config}: validation domains have {sorted(found)} pictures, a card names one number')
    return found.pop()


def table(cards: list[dict]) -> str:
    """The table of README.md, with its markers."""
    lines = ['| weights | config | camera / night | controls: camera / night | seed, commit |', f'|{"---|" * 5}']
    for card in cards:
        controls = '; '.join(f'{title}: {pair(score)}' for title, score in card['controls'].items())
        cells = [f'[{card["name"]}]({card["name"]}.json)', f'[{Path(card["config"]).stem}](../../{card["config"]})',
                 pair(card['score_mIoU_percent']), controls, f'{card["seed"]}, {card["commit"]}']
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join([TABLE[0], *lines, TABLE[1]])


def pair(score: dict[str, float]) -> str:
    """mIoU in percent on both domains of the demo."""
    return ' / '.join(f'{score[domain]:.1f}' for domain in DOMAINS)


def page(folder: Path) -> str:
    """The text of README.md with its table written anew."""
    text = (folder / 'README.md').read_text(encoding='utf-8')
    before, _, rest = text.partition(TABLE[0])
    return before + table(cards_of(folder)) + rest.partition(TABLE[1])[2]


def cards_of(folder: Path) -> list[dict]:
    """All cards, in the order of their names."""
    return [json.loads(path.read_text(encoding='utf-8')) for path in sorted(folder.glob('city_*.json'))]


def faults(folder: Path) -> list[str]:
    """What does not agree: a file without card or log, another checksum or size, a stale table."""
    found = []
    for card in cards_of(folder):
        file = folder / f'{card["name"]}.safetensors'
        if not file.is_file() or not (folder / f'{card["name"]}.log').is_file():
            found.append(f'{file}: weights or log are missing')
        elif (sha256_of(file), file.stat().st_size) != (card['sha256'], card['bytes']):
            found.append(f'{file}: not the file of its card')
    known = {card['name'] for card in cards_of(folder)}
    found += [f'{path}: no card' for path in folder.glob('*.safetensors') if path.stem not in known]
    if page(folder) != (folder / 'README.md').read_text(encoding='utf-8'):
        found.append(f'{folder / "README.md"}: its table is stale; python tools/dev/city_weights.py writes it')
    return found


def main() -> int:
    """Store demos, set the address, write the table; with ``--check`` only say what disagrees."""
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.check:
        for demo in args.demos:
            sys.stdout.write(f'{store(demo, args.out)}\n')
        if args.address:
            for card in cards_of(args.out):
                card['address'] = f'{args.address.rstrip("/")}/{card["name"]}.safetensors'
                write_text(args.out / f'{card["name"]}.json', json.dumps(card, indent=1) + '\n')
        write_text(args.out / 'README.md', page(args.out))
    found = faults(args.out)
    sys.stdout.write(''.join(f'{fault}\n' for fault in found))
    return 1 if found else 0


if __name__ == '__main__':
    run_tool(main)
