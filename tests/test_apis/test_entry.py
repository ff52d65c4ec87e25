"""Tools end a user's mistake with one message; ``--debug`` shows where it happened."""
import re
import runpy
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_dg.apis.entry import run_tool

ROOT = Path(__file__).resolve().parents[2]
#: Those of users; tools/dev are ours.
TOOLS = {path.stem: path for path in (ROOT / 'tools').rglob('*.py')
         if path.parent.name != 'dev' and not path.name.startswith('_')}
SERVER = ['--server', 'acdc', '--out', 'x.zip']
#: A mistake for each tool: files and folders that are not there.
MISTAKES = dict(
    train=['no.py'], test=['no.py', 'no.pth'], doctor=['no.py'], study=['no.py', '--seeds', '0'],
    make_split=['folder', 'nowhere', '--fraction', '1/2'], prepare_weights=['nobody'],
    replay_official=['no.pt', 'no.py'], class_statistics=['no.py'], channel_statistics=['no.py'],
    browse_streams=['no.py', '--out', 'look'],
    class_bias=['a=no.csv', '--domain', 'd', '--out', 'o.png'],
    export_test_server=['--predictions', 'nowhere', *SERVER],
    picture_grid=['o.png', '--config', 'no.py', '--checkpoints', 'a=no.pth'],
    drift_pixels=['no.py', 'no.pth', 'o.png', '--domain', 'd'], method_cost=['no.py', 'no.py'],
    benchmark=['no.py'],
    embedding_plot=['no.py', 'a.pth', 'b.pth', 'o.png', '--domain', 'd'], alignment_memory=['no.py'],
    export_segmentor=['no.pth', 'o.pth'], hrda2mmseg_dg=['no.pth', 'o.pth'], vit_hybrid2mmseg_dg=['no.npz', 'o.pth'],
    report=['nowhere'], predict=['no.py', 'no.pth', 'nowhere', '--out', 'o'], demo=None,
    reestimate_statistics=['no.py', 'no.pth', 'o.pth'], rows=['no.py'], leaderboard=['no.yml'],
    label_first=['no.py', 'no.pth', 'nowhere', '--out', 'o'],
    label_free_regret=['nowhere', '--domain', 'd'],
    export=['no.py', 'no.pth', '--to', 'safetensors'],
    adapt=['--source', 'nowhere', 'nowhere', '--target', 'nowhere', '--classes', 'a', 'b', '--out', 'o'],
    cached_features_cost=['no.py'],
    suggest=['--source', 'nowhere', 'nowhere', '--target', 'nowhere', '--classes', 'a', 'b'],
    gta=['nowhere'], synthia=['nowhere'], cityscapes=['nowhere'], acdc=['nowhere'], mapillary=['nowhere'],
    coco81=['nowhere'], resized_copies=['gta', 'nowhere'],
    voc_aug=['nowhere', 'nowhere'], pascal_context=['nowhere', 'nowhere'],
    benchmark_pipeline=None, benchmark_class_statistics=None)  # they make their own data


def run(monkeypatch, main, *argv):
    monkeypatch.setattr(sys, 'argv', ['tool.py', *argv])
    with pytest.raises(SystemExit) as left:
        run_tool(main)
    return left.value.code


def fail(error):
    def main():
        raise error
    return main


def test_one_message_and_status_1(monkeypatch, capsys):
    assert run(monkeypatch, fail(ValueError('crop_size=3 is too small: use 64'))) == 1
    assert capsys.readouterr().err == 'tool.py: error (--debug shows where): crop_size=3 is too small: use 64\n'
    assert run(monkeypatch, fail(KeyError('no key a'))) == 1
    assert capsys.readouterr().err.endswith('KeyError: no key a\n')
    assert run(monkeypatch, fail(RuntimeError('Error(s) in loading state_dict for X: size mismatch'))) == 1
    assert run(monkeypatch, fail(KeyboardInterrupt())) == 130
    assert run(monkeypatch, lambda: 2) == 2 and run(monkeypatch, lambda: None) == 0
    assert run(monkeypatch, lambda: {'a': 1}) == 0


def test_an_import_that_fails_below_a_config_says_what_to_install(monkeypatch, capsys, tmp_path):
    (tmp_path / 'needs_more.py').write_text("raise ImportError('this needs more: pip install more')\n")
    (tmp_path / 'c.py').write_text("custom_imports = dict(imports=['needs_more'], allow_failed_imports=False)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run(monkeypatch, lambda: Config.fromfile(str(tmp_path / 'c.py'))) == 1
    said = capsys.readouterr().err
    assert 'ImportError: this needs more: pip install more' in said and len(said.splitlines()) == 1


def test_debug_and_faults_of_the_program_show_where(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, 'argv', ['tool.py', 'CONFIG', '--debug'])
    with pytest.raises(ValueError):
        run_tool(lambda: seen.append(list(sys.argv)) or fail(ValueError('x'))())
    assert seen == [['tool.py', 'CONFIG']], 'the tool does not see the option'
    monkeypatch.setattr(sys, 'argv', ['tool.py'])
    with pytest.raises(AttributeError):
        run_tool(fail(AttributeError('a fault of ours')))

    def run_iter():
        raise ValueError('in the middle of a training')

    with pytest.raises(ValueError):
        run_tool(run_iter)


def test_every_tool_has_it_and_a_mistake_here():
    for path in TOOLS.values():
        text = path.read_text(encoding='utf-8')
        assert re.search(r"if __name__ == '__main__':\n    run_tool\(", text), f'{path}: ends without run_tool'
    assert set(TOOLS) == set(MISTAKES)


@pytest.mark.parametrize('name', [name for name, argv in MISTAKES.items() if argv is not None])
def test_mistakes_end_with_one_message(name, monkeypatch, capsys, tmp_path):
    import mmseg_dg.utils.stop_signals as stop_signals
    monkeypatch.setattr(stop_signals, 'listen', lambda: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [str(TOOLS[name]), *MISTAKES[name]])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(TOOLS[name]), run_name='__main__')
    said = capsys.readouterr().err
    assert left.value.code in (1, 2) or isinstance(left.value.code, str)
    assert 'Traceback' not in said and len((said or str(left.value.code)).strip().splitlines()[-1]) > 10
    assert re.search(r'no\.|nowhere|nobody|[ab]\.pth', said or str(left.value.code)), said


def test_docs_name_the_form_without_a_clone():
    """``python tools/...`` is for a clone; each page that names it names ``mim`` as well."""
    for page in [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'configs').glob('*/README.md')]:
        text = page.read_text(encoding='utf-8')
        for name in set(re.findall(r'python tools/(?!dev/)(?:[a-z_]+/)?([A-Za-z0-9_]+)\.py', text)) - {'NAME'}:
            form = f'mim {name} mmseg_dg' if name in ('train', 'test') else f'mim run mmseg_dg {name}'
            assert re.search(re.escape(form) + r'\b', text), f'{page.relative_to(ROOT)}: python tools/.../{name}.py'
