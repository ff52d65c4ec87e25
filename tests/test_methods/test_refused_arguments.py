"""Arguments that are refused by name."""
import pytest
from test_models.diffusion_networks import network_config

from mmseg_dg.registry import MODELS


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
        takes = 'alignment' in inspect.signature(cls.__init__).parameters
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
