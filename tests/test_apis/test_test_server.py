"""Export for test servers: ids, names, sizes, the zip file."""
import io
import runpy
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmseg_dg.apis.test_server import LABEL_IDS, SERVERS, pack, prepare

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/export_test_server.py'
NAMES = dict(cityscapes='berlin_000000_000019_leftImg8bit', acdc='GOPR0122_frame_000161_rgb_anon',
             dark_zurich='GOPR0356_frame_000321_rgb_anon')


def save(folder, name, ids, size):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.asarray(ids, np.uint8), size)).save(folder / f'{name}.png')


def content(path):
    with zipfile.ZipFile(path) as archive:
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


@pytest.mark.parametrize('server', list(SERVERS))
def test_ids_and_names(tmp_path, server):
    server = SERVERS[server]
    save(tmp_path / 'made/sub', NAMES[server.name], range(19), server.size)
    with pytest.raises(ValueError, match=f'has 1 predictions, the test set has {server.count} images'):
        pack(str(tmp_path / 'made'), server, str(tmp_path / 'a.zip'))
    assert not (tmp_path / 'a.zip').exists()
    assert pack(str(tmp_path / 'made'), server, str(tmp_path / 'a.zip'), allow_incomplete=True) == 1
    (name, ids), = content(tmp_path / 'a.zip').items()
    assert name == NAMES[server.name] + '.png' and ids.shape == server.size and ids.dtype == np.uint8
    expected = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    expected = expected if server.name == 'cityscapes' else list(range(19))
    assert ids.ravel()[:19].tolist() == expected
    pack(str(tmp_path / 'made'), server, str(tmp_path / 'b.zip'), allow_incomplete=True)
    assert (tmp_path / 'a.zip').read_bytes() == (tmp_path / 'b.zip').read_bytes()


def test_cityscapes_ids_are_the_inverse_of_its_table():
    from mmseg_dg.datasets.label_tables import CITYSCAPES_TO_TRAIN_ID
    assert [CITYSCAPES_TO_TRAIN_ID[i] for i in LABEL_IDS] == list(range(19))


def test_what_a_server_would_refuse(tmp_path):
    server, good = SERVERS['acdc'], NAMES['acdc']

    def refused(text):
        with pytest.raises((ValueError, FileNotFoundError), match=text):
            pack(str(tmp_path / 'made'), server, str(tmp_path / 'a.zip'), allow_incomplete=True)
        assert not (tmp_path / 'a.zip').exists()

    refused('no folder of predictions')
    (tmp_path / 'made').mkdir()
    refused('has no .*png')
    save(tmp_path / 'made', good, [0], (540, 960))
    refused(r'has shape \(540, 960\), acdc wants \(1080, 1920\)')
    save(tmp_path / 'made', good, [0, 26], server.size)
    refused(r'has id 26; expected train ids')
    save(tmp_path / 'made', good, [0], server.size)
    save(tmp_path / 'made/again', good, [0], server.size)
    refused('have one name')
    (tmp_path / f'made/again/{good}.png').rename(tmp_path / 'made/again/picture.png')
    refused(r"1 files are not named after test images, for example \['picture.png'\]")


def test_config_of_a_test_set():
    load, pack_step = dict(type='LoadImageFromFile'), dict(type='PackSegInputs')
    pipeline = [load, dict(type='Resize', scale=(960, 540)), dict(type='LoadAnnotations'), pack_step]
    loader = dict(batch_size=1, num_workers=3, dataset=dict(type='ACDCDataset', data_root='x', pipeline=pipeline))
    other = dict(batch_size=1, dataset=dict(type='CityscapesDataset', data_root='y', pipeline=pipeline))
    augment = dict(type='TestTimeAug', transforms=[[dict(type='Resize', scale_factor=0.5)],
                                                   [dict(type='LoadAnnotations')], [pack_step]])

    def config():
        return Config(dict(test_dataloader=dict(acdc=loader, cityscapes=other), tta_pipeline=[load, augment]))

    cfg = config()
    prepare(cfg, SERVERS['acdc'], 'out')
    assert list(cfg.test_dataloader) == ['acdc'] and cfg.test_dataloader.acdc.num_workers == 3
    dataset = cfg.test_dataloader.acdc.dataset
    assert dataset.data_root == 'x' and dataset.data_prefix == dict(img_path='rgb_anon/test')
    assert [step['type'] for step in dataset.pipeline] == ['LoadImageFromFile', 'Resize', 'PackSegInputs']
    assert [len(t) for t in cfg.tta_pipeline[1].transforms] == [1, 1]
    assert cfg.test_evaluator.format_only and cfg.test_evaluator.output_dir == 'out'
    with pytest.raises(ValueError, match=r"name the test domain .*\['acdc', 'cityscapes'\]"):
        prepare(config(), SERVERS['dark_zurich'], 'out')
    with pytest.raises(ValueError, match='--data-root'):
        prepare(config(), SERVERS['dark_zurich'], 'out', domain='acdc')
    with pytest.raises(ValueError, match="no test domain 'bdd'"):
        prepare(config(), SERVERS['acdc'], 'out', domain='bdd')
    cfg = config()
    prepare(cfg, SERVERS['dark_zurich'], 'out', data_root='z', domain='acdc')
    assert cfg.test_dataloader.dark_zurich.dataset.type == 'DarkZurichDataset'


@pytest.mark.parametrize('server', ['cityscapes', 'acdc'])
def test_from_images_to_zip(tmp_path, tiny_config, run_config, monkeypatch, capsys, server):
    """A network predicts images of a fake test set without labels; the file has the predictions of the test loop."""
    server = SERVERS[server]
    place = 'leftImg8bit/test/berlin' if server.name == 'cityscapes' else 'rgb_anon/night/test/GOPR0122'
    image = np.random.default_rng(0).integers(0, 256, (9, 16, 3)).astype(np.uint8)
    path = tmp_path / 'data' / place / f'{NAMES[server.name]}.png'
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), cv2.resize(image, server.size[::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    cfg = tiny_config(method='Supervised')
    cfg.model.network.decode_head.num_classes = 19
    cfg.test_dataloader = dict(somewhere=dict(batch_size=1, num_workers=0, dataset=dict(
        type=server.dataset, data_root='elsewhere', pipeline=[
            dict(type='LoadImageFromFile'), dict(type='Resize', scale=(128, 64), keep_ratio=True),
            dict(type='LoadAnnotations'), dict(type='PackSegInputs')]), sampler=dict(type='DefaultSampler',
                                                                                     shuffle=False)))
    cfg.dump(str(tmp_path / 'config.py'))
    for key in list(cfg):
        if key.startswith(('val_', 'test_', 'train_', 'optim', 'param')):
            cfg.pop(key)
    torch.manual_seed(0)
    model = run_config(cfg, train=False).model
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    arguments = ['tool', str(tmp_path / 'config.py'), str(tmp_path / 'model.pth'), '--server', server.name,
                 '--data-root', str(tmp_path / 'data'), '--work-dir', str(tmp_path / 'work')]
    monkeypatch.setattr(sys, 'argv', [*arguments, '--out', str(tmp_path / 'a.zip'), '--allow-incomplete'])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert ended.value.code == 0
    assert '1 predictions in' in capsys.readouterr().out
    (name, ids), = content(tmp_path / 'a.zip').items()
    saved = np.asarray(Image.open(tmp_path / f'work/test_server/{server.name}/{name}'))
    assert name == path.name and ids.shape == server.size and len(np.unique(saved)) > 1
    np.testing.assert_array_equal(ids, np.asarray(server.ids)[saved])
    monkeypatch.setattr(sys, 'argv', ['tool', '--server', server.name, '--out', str(tmp_path / 'b.zip'),
                                      '--predictions', str(tmp_path / 'work/test_server'), '--allow-incomplete'])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert ended.value.code == 0
    assert (tmp_path / 'a.zip').read_bytes() == (tmp_path / 'b.zip').read_bytes()
