"""Write the tables of configs/*/README.md and the model lists of configs/*/metafile.yml.

Examples::

    python tools/dev/config_docs.py            # write what is stale
    python tools/dev/config_docs.py --check    # name it and exit with 1 (`make lint`)

Everything comes from the docstrings of the configs and from ablations.yml. In a README, a table stands between
``<!-- table: PATTERNS -->`` and ``<!-- end -->``: one line per config or row whose name matches one of the patterns
(shell style, separated by ``;``, in their order; ``!`` before one leaves out): ``dacs_*; dacs_* --row *``.
``<!-- subsets: OWN: PATTERNS -->`` has one column for each labeled subset instead, the first for the one the configs
have without the option. Every config and row must be in a table.
The head of a metafile, up to ``Models:``, is written by hand. Neither torch nor mmengine is needed.
"""
import argparse
import ast
import importlib.util
import json
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
#: A table of a README with its markers; groups: its kind, and what follows the colon.
BLOCK = re.compile(r'<!-- (table|subsets): (.*?) -->\n.*?<!-- end -->', re.DOTALL)
#: Word in the name of a file of _base_/datasets -> the images trained on, in the order of the metafiles.
DATA = {
    'imagenet21k': 'ImageNet-21k', 'imagenet1k': 'ImageNet-1k', 'folder': 'own images', 'gta': 'GTA',
    'synthia': 'SYNTHIA', 'synthcity': 'SynthCity', 'cityscapes': 'Cityscapes', 'acdc': 'ACDC',
    'darkzurich': 'Dark Zurich', 'camvid': 'CamVid', 'idd7': 'IDD', 'voc': 'Pascal VOC 2012', 'coco81': 'COCO',
    'pascal': 'Pascal Context', 'ade20k': 'ADE20K'
}


def load_rows_module() -> ModuleType:
    """``mmseg_dg.apis.config_rows`` by its file: importing the package would load torch."""
    path = ROOT / 'mmseg_dg' / 'apis' / 'config_rows.py'
    spec = importlib.util.spec_from_file_location('config_rows', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules['config_rows'] = module
    spec.loader.exec_module(module)
    return module


class Folder:
    """The configs of one folder and their rows, as texts.

    Attributes:
        path: The folder.
        files: Stem -> docstring's fields (``what``, ``paper``, ``score``).
        rows: ``'CONFIG --row NAME'`` -> ``Row`` of config_rows.
        subsets: Config or row, named as in ``names`` -> subset -> the paper's score.
        names: Configs (stems), then rows (keys of ``rows``).
    """

    def __init__(self, path: Path, rows_module: ModuleType) -> None:
        self.path = path
        self.files = {file.stem: fields_of(file) for file in sorted(path.glob('*.py'))}
        table = path / 'ablations.yml'
        tables = rows_module.read_rows(table) if table.is_file() else {}
        unknown = sorted(set(tables) - set(self.files))
        if unknown:
            raise ValueError(f'{table} names {", ".join(unknown)}: no such config in its folder')
        # a row without a name is the config itself, of which only the subsets count here
        every = {stem + (f' --row {name}' if name else ''): row
                 for stem, rows in tables.items() for name, row in rows.items()}
        self.rows = {name: row for name, row in every.items() if row.name}
        self.subsets = {name: {key: subset.score for key, subset in row.subsets.items()}
                        for name, row in every.items() if row.subsets}
        self.names = list(self.files) + list(self.rows)

    def matching(self, patterns: str) -> list[str]:
        """Names that fit the patterns of a marker, in the order of the patterns and of the files."""
        found: list[str] = []
        for pattern in (text.strip() for text in patterns.split(';')):
            if pattern.startswith('!'):
                found = [name for name in found if not fnmatchcase(name, pattern[1:])]
            else:
                found += [name for name in self.names if fnmatchcase(name, pattern) and name not in found]
        return found

    def texts(self, name: str) -> tuple[str, str]:
        """What a config or row is, and the paper's score."""
        if name in self.rows:
            return self.rows[name].what, self.rows[name].score
        return self.files[name]['what'], self.files[name]['score']


def fields_of(file: Path) -> dict[str, str]:
    """Title (``what``), ``paper`` and ``score`` of a config's docstring; '' for what it does not say.

    Raises:
        ValueError: There is no docstring.
    """
    text = ast.get_docstring(ast.parse(file.read_text(encoding='utf-8')))
    if not text:
        raise ValueError(f'{file} has no docstring: what the config is, from which paper, with which score')
    joined = re.sub(r'\n +', ' ', text)  # lines that go on, indented, with the line before
    score = re.search(r"(?:Paper's score|Score): (.*)", joined)
    paper = re.search(r'Paper: (.*)', joined)
    # the score ends where the same sentence goes on with its status or its seeds
    return dict(what=text.split('\n')[0].rstrip('.'), paper=paper.group(1) if paper else '',
                score=re.split(r'\. (?:Status|seeds)|; seeds', score.group(1))[0].rstrip('.') if score else '')


def short_score(text: str) -> str:
    """The number a score's sentence begins with; '-' where it has none."""
    text = text.split(' (')[0].replace(' mIoU on Cityscapes val', '').replace('|', '/')
    return re.sub(r' mIoU on \w+ val$', '', text) if text[:1].isdigit() else '-'


def cell(name: str) -> str:
    """Link to a config, with the option that chooses its row."""
    stem, _, row = name.partition(' --row ')
    return f'[{stem}]({stem}.py)' + (f' `--row {row}`' if row else '')


def table(folder: Folder, names: list[str]) -> list[str]:
    """Lines of a table: config or row, what it is, the paper's score where one of them has any."""
    scores = {name: short_score(folder.texts(name)[1]) for name in names}
    scored = any(score != '-' for score in scores.values())
    lines = ['| config | what |' + ' paper |' * scored, '|---|---|' + '---|' * scored]
    for name in names:
        what = folder.texts(name)[0].replace('|', '/')
        lines.append(f'| {cell(name)} | {what} |' + f' {scores[name]} |' * scored)
    return lines


def subset_table(folder: Folder, names: list[str], own_subset: str) -> list[str]:
    """Lines of a table with the paper's score of every labeled subset."""
    subsets = list(dict.fromkeys(subset for name in names for subset in folder.subsets.get(name, ())))
    lines = [f'| config | as it is: {own_subset} | ' + ' | '.join(f'`{subset}`' for subset in subsets) + ' |',
             '|---|---|' + '---|' * len(subsets)]
    for name in names:
        own = folder.subsets.get(name, {})
        scores = [short_score(folder.texts(name)[1]), *(short_score(own.get(subset, '')) for subset in subsets)]
        lines.append(f'| {cell(name)} | ' + ' | '.join(scores) + ' |')
    return lines


def readme(folder: Folder) -> str:
    """The text of a folder's README with its tables written anew.

    Raises:
        ValueError: A marker matches nothing, or a config or row is in no table.
    """
    file = folder.path / 'README.md'
    seen: set[str] = set()

    def block(match: re.Match) -> str:
        """The table that belongs between these markers, with them."""
        kind, patterns = match.groups()
        own_subset, _, chosen = patterns.rpartition(': ')  # 'OWN: ' is there for subsets only
        names = folder.matching(chosen)
        if not names:
            raise ValueError(f'{file}: no config or row matches <!-- {kind}: {patterns} -->')
        seen.update(names)
        lines = table(folder, names) if kind == 'table' else subset_table(folder, names, own_subset)
        return '\n'.join([f'<!-- {kind}: {patterns} -->', *lines, '<!-- end -->'])

    text = BLOCK.sub(block, file.read_text(encoding='utf-8'))
    missing = [name for name in folder.names if name not in seen]
    if missing:
        raise ValueError(f'{file}: no table has {", ".join(missing[:8])}'
                         f'{f" and {len(missing) - 8} more" if len(missing) > 8 else ""}')
    return text


def training_data(file: Path) -> list[str]:
    """Data sets whose images a config trains on, from the names of its bases in ``_base_/datasets``."""
    words: set[str] = set()
    for base in bases_of(file):
        # not the files of validation data
        if base.parent.name == 'datasets' and not re.search(r'_val(16)?(_hr)?$', base.stem):
            # source_only_A_to_B trains on A; a name may end in a number of two digits
            own = base.stem.split('_to_')[0] if base.stem.startswith('source_only') else base.stem
            words |= set(own.split('_')) | set(re.sub(r'\d\d$', '', own).split('_'))
    return [name for word, name in DATA.items() if word in words] or ['own images']


def bases_of(file: Path) -> list[Path]:
    """Files a config inherits from, at any depth."""
    found = []
    for node in ast.parse(file.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '_base_':
            value = ast.literal_eval(node.value)
            for base in [value] if isinstance(value, str) else value:
                path = (file.parent / base).resolve()
                found += [path, *bases_of(path)]
    return found


def metafile(folder: Folder) -> str:
    """The text of a folder's metafile with its list of models written anew.

    A model belongs to the collection whose name its ``Paper:`` begins with, else to the first one.
    """
    head, _, _ = (folder.path / 'metafile.yml').read_text(encoding='utf-8').partition('\nModels:')
    collections = re.findall(r'^- Name: (\w+)', head, re.MULTILINE)
    lines = [head, 'Models:']
    for stem, fields in folder.files.items():
        collection = next((name for name in collections if re.match(rf'{name}\b', fields['paper'])), collections[0])
        lines += [f'- Name: {stem}', f'  In Collection: {collection}',
                  f'  Config: configs/{folder.path.name}/{stem}.py', '  Metadata:', '    Training Data:',
                  *(f'    - {name}' for name in training_data(folder.path / f'{stem}.py')),
                  *weights_of(f'configs/{folder.path.name}/{stem}.py')]
    return '\n'.join(lines) + '\n'


def weights_of(config: str) -> list[str]:
    """What a metafile says of a config's trained weights, from a JSON file of docs/weights; [] without one.

    ``Weights`` is an address where that file has one, which ``mim download`` needs, else the path in the repository.
    """
    for path in sorted((ROOT / 'docs' / 'weights').glob('*.json')):
        card = json.loads(path.read_text(encoding='utf-8'))
        if card['config'] == config:
            scores = [f'      mIoU ({domain}): {score}' for domain, score in card['score_mIoU_percent'].items()]
            return ['  Results:', '  - Task: Semantic Segmentation', '    Dataset: SynthCity', '    Metrics:', *scores,
                    f'  Weights: {card.get("address") or f"docs/weights/{path.stem}.safetensors"}']
    return []


def main() -> int:
    """Write the files that are stale, or with ``--check`` only name them; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where a file is stale')
    args = parser.parse_args()
    rows_module, stale = load_rows_module(), []
    index = (ROOT / 'model-index.yml').read_text(encoding='utf-8')
    for path in sorted(p for p in CONFIGS.iterdir() if p.is_dir() and p.name != '_base_'):
        folder = Folder(path, rows_module)
        if f'- configs/{path.name}/metafile.yml' not in index:
            raise ValueError(f'model-index.yml does not import configs/{path.name}/metafile.yml')
        for name, write in (('README.md', readme), ('metafile.yml', metafile)):
            text, file = write(folder), path / name
            if text != file.read_text(encoding='utf-8'):
                stale.append(file.relative_to(ROOT))
                if not args.check:
                    file.write_text(text, encoding='utf-8')
    for file in stale:
        done = 'stale; python tools/dev/config_docs.py writes it' if args.check else 'written'
        sys.stdout.write(f'{file}: {done}\n')
    return 1 if args.check and stale else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except ValueError as error:
        sys.stderr.write(f'config_docs.py: error: {error}\n')
        sys.exit(1)
