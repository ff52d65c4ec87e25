"""Maps of validation images: the encoder's own, asked for once, refused where they are damaged."""
import pytest
import torch

from mmseg_dg.datasets.stored_views import FeatureCacheError
from mmseg_dg.engine import validation_maps
from mmseg_dg.engine.cached_features import CachedFeatures
from mmseg_dg.engine.feature_doctor import feature_lines
from mmseg_dg.engine.validation_maps import ValidationMaps, input_key
from mmseg_dg.registry import MODELS


class Encoder:
    """Counts how often it is asked."""

    def __init__(self, dtype=torch.float32):
        self.calls, self.dtype = 0, dtype

    def __call__(self, images):
        self.calls += 1
        return tuple((images * k)[..., ::k, ::k].to(self.dtype) for k in (1, 2))


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))


def test_maps_come_back_bit_for_bit_and_once(images, tmp_path):
    encoder = Encoder()
    first = ValidationMaps(tmp_path / 'maps')(encoder, images)
    second = ValidationMaps(tmp_path / 'maps')(encoder, images.clone())  # as a second run would
    assert encoder.calls == 1 and type(second) is tuple
    for a, b in zip(first, second, strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b)


def test_each_other_input_is_another_one(images, tmp_path):
    changed = images.clone()
    changed[1, 2, 3, 4] += 1e-6
    others = [images, changed, images.flip(3), images.reshape(2, 3, 6, 8), images.double()]
    keys = [input_key(x) for x in others]
    with torch.autocast('cpu', torch.bfloat16):
        keys.append(input_key(images))
    assert len(set(keys)) == len(keys)
    assert input_key(images.transpose(2, 3).contiguous().transpose(2, 3)) == keys[0]  # layout in memory is no content


def test_a_damaged_file_is_named(images, tmp_path):
    maps = ValidationMaps(tmp_path)
    maps(Encoder(), images)
    path, = tmp_path.glob('*.npz')
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    for damage in (bytes(content), content[:100], b''):
        path.write_bytes(damage)
        with pytest.raises(FeatureCacheError, match=path.name):
            maps(Encoder(), images)


def test_a_nearly_full_disk_keeps_nothing_and_says_so_once(images, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(validation_maps, 'free_bytes', lambda folder: validation_maps.RESERVE)
    monkeypatch.setattr(validation_maps, 'print_log', lambda text, **kwargs: said.append(text))
    maps, encoder = ValidationMaps(tmp_path / 'maps'), Encoder()
    for _ in range(2):
        assert len(maps(encoder, images)) == 2
    assert encoder.calls == 2 and not (tmp_path / 'maps').exists()
    assert len(said) == 1 and str(tmp_path / 'maps') in said[0]


@pytest.mark.parametrize('why', ['folder', 'file'])
def test_a_folder_that_cannot_be_written_is_only_read(images, tmp_path, monkeypatch, why):
    """As another user's, a read-only disk or a quota: the run goes on, and the log says so once."""
    said, encoder, folder = [], Encoder(), tmp_path / 'maps'
    monkeypatch.setattr(validation_maps, 'print_log', lambda text, **kwargs: said.append(text))
    if why == 'folder':
        folder = tmp_path / 'file' / 'maps'
        folder.parent.write_text('no folder')
    else:
        ValidationMaps(folder)(encoder, images)
        monkeypatch.setattr('numpy.savez', lambda *args: (_ for _ in ()).throw(OSError(30, 'Read-only file system')))
        del said[:]
    maps, before = ValidationMaps(folder), encoder.calls
    for _ in range(2):
        assert len(maps(encoder, images + 1)) == 2
    assert encoder.calls == before + 2 and len(said) == 1
    assert f'{folder} cannot be written' in said[0] and 'computed in every evaluation' in said[0]
    maps(encoder, images)  # what is kept already is read
    assert encoder.calls == before + 2 + (why == 'folder')


def test_types_that_a_file_cannot_hold_are_computed_each_time(images, tmp_path):
    maps, encoder = ValidationMaps(tmp_path / 'maps'), Encoder(torch.bfloat16)
    assert [maps(encoder, images)[0].dtype for _ in range(2)] == [torch.bfloat16] * 2
    assert encoder.calls == 2


def test_another_encoder_has_another_folder(tiny_config):
    cfg = tiny_config(method='Supervised')
    cfg.model.network.backbone.trainable = 'none'
    method = MODELS.build(cfg.model)
    settings = CachedFeatures(views=1, validation=True)
    before = settings.validation_folder(method, cfg.model.network)
    assert settings.validation_folder(method, cfg.model.network) == before
    next(method.student.backbone.parameters()).data.view(-1)[0] += 1
    assert settings.validation_folder(method, cfg.model.network) != before


@pytest.mark.parametrize('evaluate', ['student', 'teacher'])
def test_a_run_is_judged_as_without_them(tiny_config, run_config, tmp_path, monkeypatch, evaluate):
    """Every score of every evaluation, a teacher's included; later runs never ask the encoder."""
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))

    def config(work_dir, validation):
        cfg = tiny_config(work_dir=work_dir, val_interval=2)
        cfg.model.evaluate = evaluate
        cfg.model.network.backbone.trainable = 'none'
        cfg.train_cfg.cached_features = dict(views=1, validation=validation)
        return cfg

    def scores(name, validation):
        runner = run_config(config(name, validation))
        history = runner.message_hub.log_scalars
        return {key: [float(x) for x in history[key].data[0]] for key in history if 'mIoU' in key}

    plain, kept = scores('plain', False), scores('kept', True)
    assert plain and all(len(values) == 2 for values in plain.values())
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / 'cache').rglob('*.npz')}
    assert files
    again = scores('again', True)
    assert plain == kept == again
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'cache').rglob('*.npz')} == files


def test_the_doctor_says_where_they_are(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))
    cfg = tiny_config(method='Supervised')
    cfg.model.network.backbone.trainable = 'none'
    cfg.train_cfg.cached_features = dict(views=1, validation=True)
    line = next(line for line in feature_lines(cfg) if line.startswith('validation'))
    assert 'kept: 0 inputs' in line and str(tmp_path / 'cache') in line
