"""Arguments that are refused by name."""
import pytest
from test_models.diffusion_networks import network_config

from mmseg_dg.registry import MODELS
from mmseg_dg.utils.arguments import accepted_arguments


@pytest.mark.parametrize('method', ['DeFT', 'JointFinetuning', 'DomainGeneralization', 'DDeP', 'DiffMatch'])
def test_methods_without_an_alignment_say_so(method):
    network = dict(type='EncoderDecoder', backbone=dict(type='X'), decode_head=dict(type='Y'))
    config = dict(type=method, network=network, alignment=dict(type='PixelAlignment'))
    with pytest.raises(TypeError, match=f'{method} takes no alignment .*PixelAlignment.*DACS, Supervised, FixMatch'):
        MODELS.build(config)


def test_the_page_lists_every_method():
    """Which methods take the term is a table; its last row stands for every method that is not named."""
    import inspect
    from pathlib import Path

    from mmseg_dg.methods.base import BaseMethod
    page = (Path(__file__).resolve().parents[2] / 'docs' / 'pixl.md').read_text(encoding='utf-8')
    table = page.split('| method | `alignment` |')[1].split('`model = dict(alignment=None)`')[0]
    taken, refused = table.split('| every other method')
    assert '| refused' in refused
    methods = {name: cls for name, cls in MODELS.module_dict.items()
               if inspect.isclass(cls) and issubclass(cls, BaseMethod) and cls.__module__.startswith('mmseg_dg.')}
    assert {'DACS', 'DeFT', 'UniMatch'} <= methods.keys()
    for name, cls in methods.items():
        takes = 'alignment' in accepted_arguments(cls)
        assert (f'`{name}`' in taken) == takes and not (takes and f'`{name}`' in refused), name


def test_none_is_no_request():
    config = dict(type='DiffMatch', network=network_config(), alignment=None, denoiser_optimizer=None)
    assert MODELS.build(config).student.residual is False


@pytest.mark.parametrize('name', ['time_weighting', 'self_aligned', 'plain_head'])
def test_absent_options_of_the_reconstruction_are_named(name):
    with pytest.raises(TypeError, match=f'takes no {name} .*docs/diffmatch.md, "Not built"'):
        MODELS.build(network_config(**{name: True}))
    with pytest.raises(TypeError, match="unexpected keyword argument 'residul'"):
        MODELS.build(network_config(residul=True))


def test_other_optimizers_and_consistency_are_absent():
    with pytest.raises(TypeError, match='custom_keys.denoiser'):
        MODELS.build(dict(type='DiffMatch', network=network_config(), denoiser_optimizer=dict(type='AdamW')))
    with pytest.raises(ValueError, match='CBDM, are absent'):
        MODELS.build(network_config(adjustment=dict(where='consistency')))


@pytest.mark.parametrize('method, name, closest', [
    ('UniMatch', 'treshold', 'threshold'), ('UniMatchV2', 'view_weigths', 'view_weights'), ('DACS', 'psuedo_threshold',
     'pseudo_threshold'), ('DACS', 'norm_evall', 'norm_eval'), ('DeFT', 'warm_up_iters', 'warmup_iters'),
    ('DDeP', 'train_encodr', 'train_encoder'), ('DomainGeneralization', 'feature_distanc', 'feature_distance'),
    ('DiffMatch', 'teacher_step', 'teacher_steps'), ('Supervised', 'init_cgf', 'init_cfg')])
def test_a_misspelled_argument_names_the_closest(method, name, closest):
    """Wherever in the bases it is declared, and before a network is built."""
    network = dict(type='EncoderDecoder', backbone=dict(type='X'), decode_head=dict(type='Y'))
    more = dict(encoder_norm=None) if method == 'DDeP' else {}
    with pytest.raises(TypeError, match=rf'{method} takes no {name} \(is {closest} meant\?\); it takes: network'):
        MODELS.build(dict(type=method, network=network, **{name: 1}, **more))


@pytest.mark.parametrize('method, name', [('DACS', 'stream'), ('DiffMatch', 'pseudo_labels'), ('DDeP', 'evaluate'),
                                          ('JointFinetuning', 'feature_distance')])
def test_what_a_method_sets_itself_is_no_argument(method, name):
    network = dict(type='EncoderDecoder', backbone=dict(type='X'), decode_head=dict(type='Y'))
    more = dict(encoder_norm=None) if method == 'DDeP' else {}
    assert name not in accepted_arguments(MODELS.get(method))
    with pytest.raises(TypeError, match=f'{method} takes no {name}'):
        MODELS.build(dict(type=method, network=network, **{name: 'x'}, **more))


def test_both_families_have_one_base():
    from mmseg_dg.methods.labeled_unlabeled import LabeledUnlabeled
    for name in ('DACS', 'FixMatch', 'UniMatch', 'UniMatchV2', 'DiffMatch'):
        assert issubclass(MODELS.get(name), LabeledUnlabeled)


def test_the_jitters_agree():
    from mmseg_dg.ops import JitterParams, StrongJitter
    assert JitterParams._fields == StrongJitter._fields == ('brightness', 'contrast', 'saturation', 'hue', 'order')
