"""``mmseg-dg``: every verb leads to its tool, with an example, from a clone and from an installed package."""
import sys
from pathlib import Path

import pytest

from mmseg_dg import cli

ROOT = Path(__file__).resolve().parents[2]


def test_verbs_are_those_promised_and_their_tools_exist():
    assert list(cli.VERBS) == ['adapt', 'train', 'test', 'predict', 'suggest', 'report', 'export', 'doctor',
                               'statistics', 'study', 'browse', 'prepare-weights']
    for verb in cli.VERBS.values():
        assert cli.tool_file(verb.tool).samefile(ROOT / 'tools' / verb.tool)
        assert len(list((ROOT / 'tools').rglob(Path(verb.tool).name))) == 1, 'mim run finds a tool by its name'


def test_list_version_and_unknown_verbs(capsys):
    assert cli.main(['-h']) == 0
    text = capsys.readouterr().out
    assert all(f'  {name} ' in text for name in cli.VERBS)
    assert cli.main([]) == 2
    from mmseg_dg.version import __version__
    assert cli.main(['--version']) == 0 and capsys.readouterr().out.split()[-1] == __version__
    assert cli.main(['fly']) == 2 and "no verb 'fly'; there are adapt, train" in capsys.readouterr().err


def test_an_installation_without_tools_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, 'PACKAGE', tmp_path / 'mmseg_dg')
    with pytest.raises(FileNotFoundError, match='the installation lacks tools/train.py.*install the package again'):
        cli.tool_file('train.py')
    tool = tmp_path / 'mmseg_dg/.mim/tools/train.py'
    tool.parent.mkdir(parents=True)
    tool.write_text('import sys\nprint(sys.argv, __name__)')
    assert cli.tool_file('train.py') == tool


def test_a_tool_runs_under_the_verb_and_leaves_with_its_status(monkeypatch, tmp_path, capsys):
    tool = tmp_path / 'tools/train.py'
    tool.parent.mkdir()
    (tool.parent / '_beside.py').write_text('VALUE = 7')
    tool.write_text('import sys\nfrom _beside import VALUE\nprint(sys.argv, __name__)\nsys.exit(VALUE)')
    monkeypatch.setattr(cli, 'PACKAGE', tmp_path / 'mmseg_dg')
    monkeypatch.setattr(sys, 'argv', ['x'])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(SystemExit) as left:
        cli.main(['train', 'a.py', '--resume'])
    assert left.value.code == 7
    assert capsys.readouterr().out == "['mmseg-dg train', 'a.py', '--resume'] __main__\n"


@pytest.mark.parametrize('verb', cli.VERBS)
def test_help_of_every_verb_has_an_example(verb, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['x'])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(SystemExit) as left:
        cli.main([verb, '-h'])
    text = capsys.readouterr().out
    assert left.value.code == 0
    assert text.startswith(f'example: mmseg-dg {verb} {cli.VERBS[verb].example}\n')
    assert f'usage: mmseg-dg {verb} ' in text


@pytest.mark.parametrize('words, streams, text', [
    (['--source', 'day/images', 'day/masks', '--target', 'night/images'], {'source', 'target'}, ''),
    (['--source', 'day/images', 'day/masks', '--target', 'night/images', '--target-labeled', 'night/images',
      'night/masks'], {'source', 'target', 'target_labeled'}, ''),
    (['--labeled', 'day/images', 'day/masks', '--unlabeled', 'night/images'], {'labeled', 'unlabeled'}, ''),
    (['--data', 'day/images', 'day/masks', '--binary', '--suggest'], {'source'}, 'encoder: mobilenetv2: '),
])
def test_adapt_writes_the_config_of_what_is_given(tmp_path, monkeypatch, capsys, words, streams, text):
    from mmengine.config import Config

    from test_apis.test_own_data import plant
    for name in ('day', 'night'):
        plant(tmp_path / name, 2, ids=(0, 255) if '--binary' in words else (0, 1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['x'])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setattr('mmseg_dg.apis.suggest.measure', lambda *args: None)  # its own test runs it
    with pytest.raises(SystemExit) as left:
        cli.main(['adapt', *words, '--classes', 'floor', 'crack', '--out', 'run', '--iterations', '30',
                  '--config-only'])
    assert left.value.code == 0
    assert text in capsys.readouterr().out
    cfg = Config.fromfile(tmp_path / 'run/config.py')
    assert set(cfg.train_dataloader) == streams and cfg.train_cfg.max_iters == 30
    dataset = next(iter(cfg.train_dataloader.values())).dataset
    assert dataset.classes == ['floor', 'crack'] and dataset.data_prefix.img_path == str(tmp_path / 'day/images')
    assert dataset.label_map == ({255: 1} if '--binary' in words else {})
    assert cfg.val_dataloader is None and cfg.model.network.decode_head.num_classes == 2


def test_adapt_says_what_belongs_together(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['x'])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(SystemExit) as left:
        cli.main(['adapt', '--target', 'x', '--classes', 'a', 'b', '--out', 'run'])
    assert left.value.code == 1
    assert 'mmseg-dg adapt: error' in (text := capsys.readouterr().err) and 'got --target' in text
