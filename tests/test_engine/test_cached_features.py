"""Training on a frozen encoder's maps: exact where the page says so, found again, refused where something is wrong."""
import copy
import importlib.util
import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper

from mmseg_dg.datasets import SampleRequest, SeededDataset, StatefulInfiniteSampler, view_writer
from mmseg_dg.datasets.stored_views import FeatureCacheError, StoredViews
from mmseg_dg.engine import view_encoder
from mmseg_dg.engine.cached_features import CachedFeatures, Stream
from mmseg_dg.engine.feature_doctor import feature_lines
from mmseg_dg.methods.encoded_views import check_encoded
from mmseg_dg.methods.step import StepContext
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator, derive_seed

from .test_processes import run
from .test_resume import _stopping_after, assert_identical, state_of
from .test_semi_training import TEACHER, semi_config  # noqa: F401  a fixture

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'doctor.py'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))


class Bench:
    """A method with a frozen encoder and its streams, without a runner."""

    def __init__(self, cfg, seed=0):
        self.cfg = cfg
        cfg.model.network.backbone.trainable = 'none'
        torch.manual_seed(seed)
        self.method = MODELS.build(cfg.model)
        self.method.init_weights()
        self.streams = {}
        for name, config in cfg.train_dataloader.items():
            dataset = SeededDataset(copy.deepcopy(config.dataset), name=name)
            sampler = StatefulInfiniteSampler(dataset, seed=3)
            self.streams[name] = Stream(dataset, 2, config, sampler)

    def prepare(self, **arguments):
        settings = CachedFeatures.from_arguments(dict(dict(views=2), **arguments), self.method)
        settings.prepare(self.method, self.streams, self.cfg.model.network)
        return settings

    def folder(self, name):
        return self.streams[name].dataset.stored.folder

    def batch(self, pictures=False, view_seed=0):
        """The same two samples of every stream: cached, or the pictures of the same views."""
        batch = {}
        for name, stream in self.streams.items():
            dataset, samples = stream.dataset, []
            for index in (4, 7):
                request = SampleRequest(index, 100 + index)
                if pictures:
                    view = dataset.stored.view_of(request)
                    request = SampleRequest(index, derive_seed('cached view', view_seed, index, view))
                samples.append((dataset.dataset and SeededDataset(dataset.dataset) if pictures else dataset)[request])
            batch[name] = pseudo_collate(samples)
        return batch


def step(method, batch):
    """Losses, gradients and buffers after one step from the same state."""
    method = copy.deepcopy(method)
    method.train()
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    values = method.train_step(batch, OptimWrapper(optimizer), context=StepContext(seed=5))
    grads = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return values, grads, dict(method.student.named_buffers())


def test_a_cached_supervised_step_is_the_uncached_one(tiny_config):
    bench = Bench(tiny_config(method='Supervised'))
    bench.prepare(precision='float32')
    cached, plain = bench.batch(), bench.batch(pictures=True)
    assert not isinstance(cached['source']['inputs'][0], torch.Tensor)
    ours, theirs = step(bench.method, cached), step(bench.method, plain)
    assert len(ours[1]) > 10 and ours[0]['loss'] > 0
    for a, b in zip(ours, theirs):
        assert_identical(a, b)
    bench.prepare(precision='float16')
    assert step(bench.method, bench.batch())[0]['loss'] == pytest.approx(float(ours[0]['loss']), rel=1e-3)
    assert bench.streams['source'].dataset.stored.row('map0', 0).dtype == np.float16


def test_mixed_pictures_that_were_encoded_before_are_exact(tiny_config):
    """Maps, labels and weights of ``mix='images'`` are those of pictures mixed here as drawn."""
    bench = Bench(tiny_config())
    bench.prepare(precision='float32', mix='images')
    method, (source, target) = bench.method, (bench.streams[n] for n in ('source', 'target'))
    row, group = 10, slice(10, 12)  # views 0 and 1 of image 5
    stored = target.dataset.stored
    seeds = {s: next(n for n in range(99) if stored.view_of(SampleRequest(5, n)) == s) for s in (0, 1)}
    cached = {'source': bench.batch()['source'],
              'target': pseudo_collate([target.dataset[SampleRequest(5, seeds[v])] for v in (0, 1)])}
    raw = {n: SeededDataset(s.dataset.dataset) for n, s in bench.streams.items()}
    source.sampler.seed = derive_seed('cached partner', 0)
    pictures = {'source': pseudo_collate([raw['source'][source.sampler.request(r)] for r in (row, row + 1)]),
                'target': pseudo_collate([raw['target'][SampleRequest(5, derive_seed('cached view', 0, 5, v))]
                                          for v in (0, 1)])}
    batch = method.data_preprocessor(pictures, True)
    draws = method.draw_step(batch, StepGenerator(derive_seed('cached variant', 0, 'mixed', row)))
    pseudo = torch.randint(0, 4, (2, 64, 64), generator=torch.Generator().manual_seed(0))
    weight = torch.rand(2, 64, 64)
    images, labels, weights, masks = method.mix_batch(batch, draws, pseudo, weight)
    ours = method.mix_batch(method.data_preprocessor(cached, True), draws, pseudo, weight)
    assert 0.02 < float(masks.float().mean()) < 0.98
    for a, b in zip(ours[1:], (labels, weights, masks)):
        assert torch.equal(a, b)
    for a, b in zip(method.student.backbone(ours[0]), method.student.backbone(images)):
        assert torch.equal(a, b)
    assert torch.equal(torch.from_numpy(np.array(stored._array('mixed.map3')[group])),
                       method.student.backbone(images)[3])


@pytest.mark.ci
@pytest.mark.parametrize('arguments', [dict(mix='maps'), dict(mix='images')])
def test_self_training_runs_on_cached_features_and_resumes(tiny_config, run_config, tmp_path, arguments):
    """Masked pass included; the resumed run finds the features and ends bit-identical."""

    def config(work_dir):
        workers = int(work_dir == 'whole' and arguments['mix'] == 'images')
        cfg = tiny_config(work_dir=work_dir, num_workers=workers, masked=dict(block_size=16))
        cfg.model.network.backbone.trainable = 'none'
        cfg.train_cfg.cached_features = dict(views=2, **arguments)
        cfg.custom_hooks.append(dict(type='TrainingPicturesHook', interval=1))
        return cfg

    whole = run_config(config('whole'))
    assert whole.iter == 4
    names = {'train/source.decode.loss_ce', 'train/mix.decode.loss_ce', 'train/masked.decode.loss_ce'}
    assert names <= set(whole.message_hub.log_scalars)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / 'cache').rglob('*.npy')}
    assert len(files) > 10
    run_config(_stopping_after(config('part'), 2))
    cfg = config('part')
    cfg.resume = True
    run_config(cfg)
    assert_identical(state_of(tmp_path / 'whole' / 'iter_4.pth'), state_of(tmp_path / 'part' / 'iter_4.pth'))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'cache').rglob('*.npy')} == files


@pytest.mark.parametrize('arguments', [
    *(pytest.param(dict(type=name), marks=pytest.mark.ci) for name in ('FixMatch', 'UniMatch')),
    dict(type='UniMatchV2', mix=False, hooks=TEACHER)])
def test_semi_supervised_methods_run_on_cached_features(semi_config, run_config, tmp_path, arguments):  # noqa: F811
    cfg = semi_config(threshold=0., **copy.deepcopy(arguments))
    cfg.model.network.backbone.trainable = 'none'
    cfg.train_cfg.cached_features = dict(views=2)
    runner = run_config(cfg)
    views = 1 if arguments['type'] == 'FixMatch' else 2
    assert runner.iter == 4 and f'train/strong{views}.loss_ce' in runner.message_hub.log_scalars
    assert all(torch.isfinite(p).all() for p in runner.model.student.parameters())
    stored = {name: loader.dataset.stored for name, loader in runner.train_dataloader.items()}
    assert stored['unlabeled'].index['variants'] == [f'strong{k + 1}' for k in range(views)]
    if 'unlabeled_mix' in stored:  # the same images and pipeline: encoded once
        assert stored['unlabeled_mix'].folder == stored['unlabeled'].folder


def test_masked_tokens_few_labels_and_an_alignment_term_on_cached_features(tiny_config):
    cfg = tiny_config(masked=dict(mode='token'), target_labeled_stream='few', alignment=dict(type='PixelAlignment'))
    cfg.train_dataloader.few = copy.deepcopy(cfg.train_dataloader.source)
    cfg.model.network.backbone = dict(
        type='PlainViT', arch=dict(embed_dims=8, num_layers=2, num_heads=2), patch_size=16, pos_grid=4,
        out_indices=(1, ), init_cfg=None)
    cfg.model.network.decode_head = dict(type='TokenLinearHead', in_channels=8, num_classes=4,
                                         loss_decode=dict(type='CrossEntropyLoss'))
    bench = Bench(cfg)
    bench.prepare(precision='float32')
    assert bench.folder('few') == bench.folder('source') != bench.folder('target')
    stored = bench.streams['target'].dataset.stored
    assert stored.row('map0', 3).shape == (8, 4, 4)
    assert not np.allclose(stored.row('map0', 3), stored.row('masked.map0', 3)), 'no token was masked'
    values, grads, _ = step(bench.method, bench.batch())
    assert {'masked.decode.loss_ce', 'few.decode.loss_ce', 'mix.decode.loss_ce'} <= set(values)
    assert all(torch.isfinite(v).all() for v in values.values()) and any('align' in k for k in values), list(values)
    assert all('backbone' not in name for name in grads)


def test_a_changed_image_of_the_same_size_is_another_one(tiny_config, tmp_path):
    cfg = tiny_config(method='Supervised')
    shutil.copytree(cfg.train_dataloader.source.dataset.data_root, tmp_path / 'copy')
    cfg.train_dataloader.source.dataset.data_root = str(tmp_path / 'copy')
    bench = Bench(cfg)
    network = cfg.model.network
    before = CachedFeatures().places(bench.method, bench.streams, network)['source'][0]
    assert CachedFeatures().places(bench.method, bench.streams, network)['source'][0] == before
    (tmp_path / 'copy' / 'img' / '03.png').touch()
    assert CachedFeatures().places(bench.method, bench.streams, network)['source'][0] != before


def test_features_of_something_else_are_refused_with_both_values(tiny_config, tmp_path):
    folder = str(tmp_path / 'features')
    Bench(tiny_config(method='Supervised')).prepare(folder=folder)
    with pytest.raises(FeatureCacheError, match=r'features/source holds .* another encoder.*weights is \w{32} there'):
        Bench(tiny_config(method='Supervised'), seed=1).prepare(folder=folder)
    other = tiny_config(method='Supervised')
    other.train_dataloader.source.dataset.pipeline[-2].prob = 0.25
    with pytest.raises(FeatureCacheError, match=r'pipeline.pipeline.3.prob is 0.5 there and 0.25 in this run\.'):
        Bench(other).prepare(folder=folder)
    with pytest.raises(FeatureCacheError, match='views is 2 there and 3 in this run'):
        Bench(tiny_config(method='Supervised')).prepare(folder=folder, views=3)
    bench = Bench(tiny_config(method='Supervised'))
    bench.prepare(folder=folder)  # the same again
    places = [CachedFeatures(views=n).places(bench.method, bench.streams, bench.cfg.model.network) for n in (2, 3)]
    assert places[0]['source'][0] != places[1]['source'][0], 'without a folder each recipe has its own'


def test_damaged_features_are_named(tiny_config, tmp_path):
    bench = Bench(tiny_config(method='Supervised'))
    bench.prepare(folder=str(tmp_path))
    file, recipe = tmp_path / 'source' / 'map2.npy', bench.streams['source'].dataset.stored.index['recipe']
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one bit of the last view
    stored = StoredViews(tmp_path / 'source', recipe)
    stored.sample(SampleRequest(0, 0))
    last = next(n for n in range(99) if stored.view_of(SampleRequest(11, n)) == 1)
    with pytest.raises(FeatureCacheError, match=r'damaged: view 1 of image 11 \(.*11.png\) in map2.npy'):
        stored.sample(SampleRequest(11, last))
    file.write_bytes(whole[:len(whole) // 2])
    with pytest.raises(FeatureCacheError, match=f'damaged: map2.npy has {len(whole) // 2} bytes'):
        bench.prepare(folder=str(tmp_path))
    file.unlink()
    with pytest.raises(FeatureCacheError, match='damaged: map2.npy has 0 bytes'):
        bench.prepare(folder=str(tmp_path))
    (tmp_path / 'source' / 'features.json').write_text('{"recipe": ')
    with pytest.raises(FeatureCacheError, match='features.json cannot be read'):
        bench.prepare(folder=str(tmp_path))


def test_an_interrupted_build_goes_on(tiny_config, tmp_path, monkeypatch):
    whole = Bench(tiny_config(method='Supervised'))
    whole.prepare(folder=str(tmp_path / 'whole'))
    monkeypatch.setattr(view_writer, '_SAVE_EVERY', -1)
    original, starts = view_encoder.ViewEncoder._group, []

    def group(self, start):
        starts.append(start)
        if len(starts) == 6:  # the first one is the plan's
            raise KeyboardInterrupt
        return original(self, start)

    monkeypatch.setattr(view_encoder.ViewEncoder, '_group', group)
    part = Bench(tiny_config(method='Supervised'))
    with pytest.raises(KeyboardInterrupt):
        part.prepare(folder=str(tmp_path / 'part'))
    assert starts == [0, 0, 2, 4, 6, 8] and not (tmp_path / 'part' / 'source' / 'features.json').exists()
    del starts[:]
    monkeypatch.setattr(view_encoder.ViewEncoder, '_group',
                        lambda self, start: (starts.append(start), original(self, start))[1])
    part.prepare(folder=str(tmp_path / 'part'))
    assert starts[:3] == [0, 8, 10]
    for path in (tmp_path / 'whole' / 'source').glob('*.npy'):
        assert (tmp_path / 'part' / 'source' / path.name).read_bytes() == path.read_bytes(), path.name
    assert sorted(p.name for p in (tmp_path / 'part' / 'source').iterdir()) == sorted(
        p.name for p in (tmp_path / 'whole' / 'source').iterdir())


def test_of_two_processes_one_builds_and_the_other_waits(tiny_config, tmp_path, monkeypatch):
    original, builders = view_encoder.ViewEncoder.build, tmp_path / 'builders'

    def build(self, *args):
        with open(builders, 'a') as file:
            file.write(f'{os.getpid()}\n')
        time.sleep(0.3)
        original(self, *args)

    monkeypatch.setattr(view_encoder.ViewEncoder, 'build', build)
    monkeypatch.setattr('mmseg_dg.engine.cached_features._POLL', 0.05)
    bench = Bench(tiny_config(method='Supervised'))
    child = multiprocessing.get_context('fork').Process(target=bench.prepare, kwargs=dict(folder=str(tmp_path / 'f')))
    child.start()
    bench.prepare(folder=str(tmp_path / 'f'))
    child.join(60)
    assert child.exitcode == 0 and len(builders.read_text().split()) == 1
    assert len(bench.batch()['source']['inputs']) == 2


@pytest.mark.ci
def test_two_started_processes_train_on_one_cache(tiny_config, tmp_path):
    cfg = tiny_config(val_interval=4)
    cfg.model.network.backbone.trainable = 'none'
    cfg.train_cfg.cached_features = dict(views=2, mix='images')
    cfg.log_level = 'INFO'
    path = tmp_path / 'cached.py'
    Config(cfg._cfg_dict, format_python_code=False).dump(path)
    code, out = run(['bash', TOOL.parent / 'dist_train.sh', path, '2'], tmp_path)
    assert code == 0, out[-3000:]
    assert out.count('views encoded in') == 2 and out.count('MB per image') == 2  # source and target, process 0
    assert (tmp_path / 'run' / 'iter_4.pth').is_file()


def test_a_full_disk_is_found_before_anything_is_written(tiny_config, tmp_path, monkeypatch):
    bench = Bench(tiny_config(method='Supervised'))
    monkeypatch.setattr(view_encoder, 'free_bytes', lambda folder: 20_000)
    with pytest.raises(OSError, match=r'12 images x 2 views need 0.\d MB \(0.0\d+ MB per image\), but .* 0.0 MB free'):
        bench.prepare(folder=str(tmp_path / 'f'))
    assert not list((tmp_path / 'f').rglob('*.npy'))


def test_values_beyond_half_precision_are_refused(tiny_config):
    bench = Bench(tiny_config(method='Supervised'))
    with torch.no_grad():
        bench.method.student.backbone.layers[2][2].weight.mul_(1e6)
    with pytest.raises(ValueError, match=r"map 2 .* values up to [\d.e+]+, which float16 .*precision='float32'"):
        bench.prepare()
    bench.prepare(precision='float32')


@pytest.mark.parametrize('model, arguments, message', [
    (dict(), dict(views=0), 'views=0'),
    (dict(), dict(precision='float8'), "precision='float8'"),
    (dict(), dict(mix='pixels'), "mix='pixels'"),
    (dict(), dict(view=8), 'has no option view'),
    (dict(pseudo_label_tta=('flip', )), dict(), "pseudo_label_tta=.'flip'"),
    (dict(masked=dict(block_size=16, images='both')), dict(), "images='both'"),
    (dict(type='UniMatch', labeled_stream='source', unlabeled_stream='target'), dict(mix='images'), 'CutMix'),
    (dict(type='DomainGeneralization'), dict(), 'DomainGeneralization needs pixels'),
])
def test_settings_that_need_pixels_are_refused(tiny_config, model, arguments, message):
    cfg = tiny_config()
    cfg.model.network.backbone.trainable = 'none'
    cfg.model.update(model)
    with pytest.raises(ValueError, match=message):
        CachedFeatures.from_arguments(arguments, MODELS.build(cfg.model))


def test_an_encoder_that_is_trained_is_refused_before_data_is_read(tiny_config, run_config):
    cfg = tiny_config(method='Supervised')
    cfg.train_cfg.cached_features = dict(views=2)
    with pytest.raises(ValueError, match=r"\(MixTransformer\) has trainable='all': set trainable='none'"):
        run_config(cfg)
    method = MODELS.build(cfg.model)
    with pytest.raises(ValueError, match="trainable='all'"):
        check_encoded(method, 'maps')


def test_a_wanted_class_chooses_among_the_views_that_show_it(tiny_config):
    cfg = tiny_config(method='Supervised')
    cfg.train_dataloader.source.dataset.pipeline[2].crop_size = (32, 32)
    bench = Bench(cfg)
    bench.prepare(views=4)
    stored = bench.streams['source'].dataset.stored
    pixels = np.array(stored._array('counts')[:, 3]).reshape(12, 4)  # a car is in every third image, not in every crop
    image = next(i for i in range(12) if pixels[i].max() > 2 * pixels[i].min())
    views = {stored.view_of(SampleRequest(image, n, wanted_class=3)) for n in range(60)}
    assert views == set(np.flatnonzero(2 * pixels[image] >= pixels[image].max())) != {0, 1, 2, 3}
    assert {stored.view_of(SampleRequest(image, n)) for n in range(60)} == {0, 1, 2, 3}
    assert {stored.view_of(SampleRequest(1, n, wanted_class=3)) for n in range(60)} == {0, 1, 2, 3}  # it has no car
    image = stored.sample(SampleRequest(3, 1, wanted_class=3))
    assert image['data_samples'].gt_sem_seg.data.dtype == torch.int64


def test_the_doctor_knows_folder_fingerprint_and_disk(tiny_config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('shutil.disk_usage', lambda path: SimpleNamespace(free=2**36))  # others write here too
    cfg = tiny_config(method='Supervised')
    assert feature_lines(cfg) == []
    cfg.train_cfg.cached_features = dict(views=2, folder=str(tmp_path / 'f'))
    assert feature_lines(cfg)[0].startswith("ERROR: ValueError: train_cfg.cached_features keeps the maps")
    cfg.model.network.backbone.update(trainable='none')
    line, = feature_lines(cfg)
    as_setting = copy.deepcopy(cfg)
    crop = next(s for s in as_setting.train_dataloader.source.dataset.pipeline if s.type == 'RandomCrop')
    as_setting.train_cfg.crop_size = crop.pop('crop_size')
    assert feature_lines(as_setting) == [line]
    assert line.startswith('source: to be built; 12 images x 2 views, 0.0') and 'MB per image' in line
    assert not (tmp_path / 'f').exists()
    Bench(cfg, seed=0).prepare(folder=str(tmp_path / 'f'))
    weights, = [line for line in feature_lines(cfg)]  # other random weights
    assert 'ERROR' in weights and 'weights is' in weights
    spec = importlib.util.spec_from_file_location('doctor_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    file = tmp_path / 'config.py'
    cfg.dump(file)
    assert tool.main([str(file), '--json', '--num-workers', '1']) == 1
    out = capsys.readouterr().out  # this process had a logger before, which the tool cannot turn away
    assert 'weights is' in json.loads(out[out.index('{\n'):])['cached_features'][0]


def test_an_ignored_pixel_of_a_pasted_image_stays_the_sources():
    """255 is the source's ignored pixel, not the target's place: it must not get a pseudo-label."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    from mmseg_dg.methods.encoded_mix import FROM_TARGET, mix_encoded_batch
    from mmseg_dg.ops import EncodedImages
    sample = SegDataSample()
    sample.set_data(dict(mixed_label=PixelData(data=torch.tensor([[[255, 3], [FROM_TARGET, 0]]], dtype=torch.uint8))))
    pasted = EncodedImages([torch.ones(1, 2, 1, 1)], (2, 2))
    images = EncodedImages([torch.zeros(1, 2, 1, 1)], (2, 2), dict(mixed=pasted))
    mixed, labels, weight, masks = mix_encoded_batch(
        dict(), dict(inputs=images, data_samples=[sample]), torch.zeros(1, 2, 2, dtype=torch.long), [],
        torch.full((1, 2, 2), 7), torch.full((1, 2, 2), 0.25))
    assert masks.tolist() == [[[True, True], [False, True]]] and mixed is pasted
    assert labels.tolist() == [[[255, 3], [7, 0]]] and weight.tolist() == [[[1., 1.], [0.25, 1.]]]


def test_statistics_of_an_encoder_whose_maps_are_kept_are_not_estimated_anew(tiny_config, run_config):
    """Its layers would be reset and see nothing: the streams give maps."""
    cfg = tiny_config()
    cfg.model.network.backbone.trainable = 'none'
    cfg.train_cfg.cached_features = dict(views=1)
    cfg.custom_hooks.append(dict(type='ReestimateStatisticsHook', batches=1, parts=['backbone', 'decode_head']))
    with pytest.raises(ValueError, match=r"parts=\['backbone', 'decode_head'\] has the encoder.*cached_features"):
        run_config(cfg)
