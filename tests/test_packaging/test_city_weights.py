"""The weights of the built-in city: files, cards, table and metafiles agree, and a file alone is enough to predict."""
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from mmengine.config import Config
from safetensors import safe_open

import mmseg_dg
from mmseg_dg.apis.demo import DEMOS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'docs' / 'weights'
CARDS = sorted(FOLDER.glob('city_*.json'))


def tool():
    spec = importlib.util.spec_from_file_location('city_weights', ROOT / 'tools' / 'dev' / 'city_weights.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_cards_and_table_agree():
    assert tool().faults(FOLDER) == []
    methods = [json.loads(path.read_text())['method'] for path in CARDS]
    assert sorted(methods) == sorted(DEMOS), 'one network per method'


def test_what_does_not_agree_is_named(tmp_path):
    card = json.loads(CARDS[0].read_text())
    (tmp_path / CARDS[0].name).write_text(CARDS[0].read_text())
    (tmp_path / f'{card["name"]}.safetensors').write_bytes(b'x')
    (tmp_path / f'{card["name"]}.log').touch()
    (tmp_path / 'other.safetensors').touch()
    (tmp_path / 'README.md').write_text('<!-- table: cards -->\n<!-- end -->\n')
    found = '\n'.join(tool().faults(tmp_path))
    assert 'not the file of its card' in found and 'other.safetensors: no card' in found and 'is stale' in found


@pytest.mark.parametrize('path', CARDS, ids=lambda path: path.stem)
def test_a_card_says_how_to_have_it_again(path):
    card = json.loads(path.read_text())
    cfg = Config.fromfile(str(ROOT / card['config']))
    assert card['iterations'] == cfg.train_cfg.max_iters and card['encoder_license'] == 'MIT'
    assert re.fullmatch(r'[0-9a-f]{12}', card['commit']), 'of sources without local changes'
    assert card['command'].startswith(f'python tools/demo.py --method {card["method"]} --seed ')
    pictures = cfg.val_dataloader.camera.dataset.num_images
    assert f'{pictures} pictures per domain' in card['score_note']
    assert card['controls'] and card['bytes'] < 5_500_000
    log = path.with_suffix('.log').read_text()
    last = float(re.findall(r'camera/mIoU: ([0-9.]+)', log)[-1])
    assert card['score_mIoU_percent']['camera'] == pytest.approx(last, abs=0.006) and '/home' not in log
    with safe_open(str(path.with_suffix('.safetensors')), 'pt') as file:
        content = json.loads(file.metadata()['mmseg_dg'])
    assert content['classes'][0] == 'road' and len(content['classes']) == 19
    assert not re.search(r'"/\w+/', json.dumps(content)), 'no path of a machine'


@pytest.mark.parametrize('path', CARDS, ids=lambda path: path.stem)
def test_a_file_alone_predicts(path):
    network = mmseg_dg.load(path.with_suffix('.safetensors'), device='cpu')
    labels = network.predict(np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8))
    assert labels.shape == (64, 96) and network.classes[0] == 'road'


def test_metafiles_name_files_and_scores():
    models = yaml.safe_load((ROOT / 'configs/demo/metafile.yml').read_text())['Models']
    named = {model['Weights'].rpartition('/')[2]: model for model in models if 'Weights' in model}
    assert set(named) == {path.with_suffix('.safetensors').name for path in CARDS}
    for path in CARDS:
        card, model = json.loads(path.read_text()), named[f'{path.stem}.safetensors']
        assert model['Config'] == card['config']
        assert model['Results'][0]['Metrics']['mIoU (camera)'] == card['score_mIoU_percent']['camera']


@pytest.mark.ci
def test_mim_finds_them(tmp_path):
    """``mim search`` shows configs, scores, files; ``mim download`` finds a file that is there and adds its config."""
    def mim(*words):
        return subprocess.run([sys.executable, '-m', 'mim', *words], capture_output=True, text=True, cwd=tmp_path)

    card = json.loads(CARDS[0].read_text())
    name = Path(card['config']).stem
    found = mim('search', 'mmseg_dg', '--config', name)
    assert found.returncode == 0 and f'{card["name"]}.safetensors' in found.stdout, found.stderr
    (tmp_path / f'{card["name"]}.safetensors').write_bytes(CARDS[0].with_suffix('.safetensors').read_bytes())
    found = mim('download', 'mmseg_dg', '--config', name, '--dest', str(tmp_path))
    assert found.returncode == 0 and (tmp_path / f'{name}.py').is_file(), found.stderr
