"""Real, shrunken training: runner, loaders, method, hooks, validation, checkpoint.

Every method x network family runs (the list is made from the configs); the default suite trains one per method, the
second lane one per setting (marked ci), ``make test-all`` the rest (marked slow).
"""
import math

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from mmseg_dg.methods import DACS

from .catalog import LEAVES, load, read, settings
from .fake_data import write_all
from .shrink import family, shrink
from .test_dataset_files import plant

#: One per method.
METHODS = [
    'daformer_mitb5_gta2cityscapes', 'hrda_mitb5_gta2cityscapes', 'daformer_dg_shade_mitb5_gta',
    'pixl_hrda_mitb5_gta2cityscapes', 'fixmatch_r50_voc_classic_183', 'unimatch_r50_cityscapes_1_8',
    'diffmatch_r50_voc_classic_183', 'ddep_transunet_1x_folder',
    'source_only_daformer_mitb5_gta2cityscapes --row cityscapes2acdc', 'deft_r50_gta_released --row acc'
]
#: Every other setting's data through the full method.
SETTINGS = [
    'dacs_deeplabv2_r101_gta2cityscapes', 'daformer_mitb5_synthia2cityscapes', 'daformer_mitb5_cityscapes2darkzurich',
    'hrda_dg_shade_mitb5_gta', 'pixl_hrda_deeplabv3plus_r101_cityscapes_1_8', 'ddep_transunet_1x_cityscapes_1_30',
    'daformer_synthcity_demo'
]
#: What `make demo METHOD=...` trains; the finetuning of DDeP needs its pretraining's checkpoint.
DEMOS = [
    f'{name}_synthcity_demo' for name in ('hrda', 'source_only_hrda', 'daformer_half', 'pixl', 'deft', 'joint',
                                          'fixmatch', 'unimatch', 'diffmatch', 'few_labels', 'ddep_pretrain',
                                          'ddep_random')
]
DEFAULT = METHODS + SETTINGS
PARTS = 12


def rest() -> list[str]:
    """One setting of every method x network family that is not trained above; configs before rows."""
    families: dict = {}
    for name in sorted(settings(), key=lambda n: (n not in DEFAULT + DEMOS, '--row' in n, n)):
        families.setdefault(family(read(name)), name)
    return sorted(set(families.values()) - {*DEFAULT, *DEMOS})


_SEMI = {'labeled.decode.', 'strong1.loss_ce'}
#: Losses in the log, where they are not those of one labeled stream.
LOSSES = {'FixMatch': _SEMI, 'UniMatchV2': _SEMI | {'strong2.loss_ce'},
          'UniMatch': _SEMI | {'strong2.loss_ce', 'feature.loss_ce'},
          'DiffMatch': _SEMI | {'feature.loss_ce'}, 'DDeP': {'images.loss_'}}


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    return plant(write_all(tmp_path_factory.mktemp('data')))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path_factory.getbasetemp() / 'cache'))


def train(name, tmp_path, data, scope=None, iters=2, pictures=True):
    """Run the shrunken config and return (runner, student's weights before training)."""
    from mmseg_dg.apis.launch import build_runner
    values = Config._dict_to_config_dict(shrink(load(name), tmp_path, data, iters)._cfg_dict, scope)
    if not pictures:
        values.custom_hooks = [hook for hook in values.get('custom_hooks', []) if 'Pictures' not in hook.type]
    cfg = Config(values, format_python_code=False)  # prettifying the dumped config takes most of the time
    run = '_'.join([*name.split(' --row '), tmp_path.name, str(len(MessageHub._instance_dict))])
    cfg.experiment_name = run  # mmengine keeps one runner per name
    runner = build_runner(cfg)
    runner.model.init_weights()
    before = {k: v.clone() for k, v in runner.model.student.state_dict().items()}
    runner.train()
    return runner, before


def check_trained(runner, before, tmp_path):
    scalars = MessageHub.get_instance(runner.experiment_name).log_scalars
    losses = {k: v.current() for k, v in scalars.items() if 'loss' in k}
    assert losses and all(math.isfinite(v) for v in losses.values()), losses
    method = runner.model
    expected = set(LOSSES.get(runner.cfg.model.type) or {f'{method.labeled_streams[0]}.decode.'})
    if isinstance(method, DACS):
        expected |= {'mix.decode.'}
        assert int(method.teacher.steps) == runner.iter == 2
    if runner.cfg.model.type == 'DeFT':
        expected = {'encoder.decode.', 'decoder.decode.'}  # warmup.* leaves the log at the hand-over
        assert int(method.decoder.steps) == int(method.encoder.steps) == 1
    if getattr(method, 'feature_distance', None) is not None:
        expected |= {f'{method.source_stream}.loss_feature_distance'}
    if getattr(method, 'alignment', None) is not None:
        assert any(method.alignment.loss_name in k for k in losses), list(losses)
    if getattr(method, 'styles', None) is not None:
        expected |= {'source.loss_style_consistency'}
        assert method.styles.ready
    names = [k.replace('train/', '') for k in losses]
    assert all(any(n.startswith(e) for n in names) for e in expected), names
    after = method.student.state_dict()
    assert any(not torch.equal(before[k], after[k]) for k in before if 'decode_head' in k), 'the decoder did not move'
    domains = list(runner.cfg.val_dataloader)
    for domain in domains:
        if runner.cfg.model.type == 'DDeP':
            assert math.isfinite(scalars[f'val/{domain}/PSNR'].current())
        else:
            assert 0 <= scalars[f'val/{domain}/mIoU'].current() <= 100
    assert (tmp_path / 'work' / 'iter_2.pth').is_file()


@pytest.mark.parametrize('name', METHODS + [pytest.param(name, marks=pytest.mark.ci) for name in SETTINGS + DEMOS])
def test_trains(name, tmp_path, data):
    runner, before = train(name, tmp_path, data)
    check_trained(runner, before, tmp_path)


@pytest.mark.ci
def test_methods_that_are_in_no_list_above_train(tmp_path, data):
    """The first config of each, so that a new method is trained without being entered anywhere."""
    first: dict = {}
    for name in DEFAULT + DEMOS + sorted(LEAVES):
        first.setdefault(read(name).model.type, name)
    names = sorted(set(first.values()) - {*DEFAULT, *DEMOS})
    assert 'unimatch_v2_dinov2_base_ade20k_1_16' in names
    for name in names:
        (tmp_path / name).mkdir()
        check_trained(*train(name, tmp_path / name, data), tmp_path / name)


@pytest.mark.ci
def test_trains_when_inherited_from_the_installed_package(tmp_path, data):
    """``_base_ = 'mmseg_dg::...'`` makes mmengine write ``_scope_`` into every outermost dict that has a type."""
    runner, before = train('daformer_mitb5_gta2cityscapes', tmp_path, data, scope='mmseg_dg')
    assert runner.cfg.train_dataloader.source.dataset['_scope_'] == 'mmseg_dg'
    check_trained(runner, before, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('part', range(PARTS))
def test_trains_every_family(part, tmp_path, data):
    failures = {}
    for number, name in enumerate(rest()[part::PARTS]):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            check_trained(*train(name, folder, data), folder)
        except pytest.skip.Exception:
            continue
        except Exception as error:
            failures[name] = f'{type(error).__name__}: {error}'
    assert not failures, '\n'.join(f'{name}: {text}' for name, text in failures.items())


def test_shrinking_keeps_the_structure(tmp_path, data):
    for name in DEFAULT:
        cfg = load(name)
        small = shrink(load(name), tmp_path, data)
        assert family(small) == family(cfg)
        for key in ('source', 'target'):
            if key in cfg.train_dataloader:
                kinds = [[s.type for s in c.train_dataloader[key].dataset.pipeline] for c in (cfg, small)]
                assert kinds[0] == kinds[1]
