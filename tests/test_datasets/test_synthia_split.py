"""The random split of SYNTHIA: written by its converter, asked for by name where it is missing."""
import importlib.util
from pathlib import Path

import pytest

from mmseg_dg.registry import DATASETS

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters' / 'synthia.py'


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location('synthia_converter', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.TRAIN, module.VAL) == (6580, 2820), 'docs/behavior/deft.md#test-protocol'
    monkeypatch.setattr(module, 'TRAIN', 7)
    monkeypatch.setattr(module, 'VAL', 3)
    return module


def run(tool, monkeypatch, root, *options):
    monkeypatch.setattr('sys.argv', ['synthia.py', str(root), *options])
    return tool.main()


def test_lists_only(tool, monkeypatch, tmp_path, capsys):
    (tmp_path / 'RGB').mkdir()
    for i in range(9):
        (tmp_path / 'RGB' / f'{i:07d}.png').touch()
    assert run(tool, monkeypatch, tmp_path, '--lists-only') == 1
    assert 'no split is written' in capsys.readouterr().out and not (tmp_path / 'splits').exists()
    (tmp_path / 'RGB' / '0000009.png').touch()
    splits = {}
    for seed in (0, 0, 1):
        assert run(tool, monkeypatch, tmp_path, '--lists-only', '--split-seed', str(seed)) == 0
        lists = [(tmp_path / 'splits' / 'random' / f'{part}.txt').read_text().split() for part in ('train', 'val')]
        assert list(map(len, lists)) == [7, 3]
        assert sorted(lists[0] + lists[1]) == [f'{i:07d}' for i in range(10)]
        assert splits.setdefault(seed, lists) == lists, 'the same seed, the same lists'
    assert splits[0] != splits[1]


def test_a_missing_list_names_the_command(tmp_path):
    (tmp_path / 'RGB').mkdir()
    with pytest.raises(FileNotFoundError, match='synthia.py .* --lists-only'):
        DATASETS.build(dict(type='SynthiaDataset', data_root=str(tmp_path), ann_file='splits/random/val.txt',
                            pipeline=[]))
