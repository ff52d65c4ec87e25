"""Recipes on foundation encoders, MIC and UniMatch V2: each trains, and differs from its control in the method."""
import pytest
import torch

from .catalog import LEAVES, build_on_meta, changed_keys, load, read
from .fake_data import write_all
from .test_dataset_files import plant
from .test_training import train

NEW = sorted(name for name, path in LEAVES.items() if path.parent.name in ('mic', 'foundation', 'unimatch_v2'))

#: Rows that change more than a number.
ROWS = ['vfm_uda_dinov2_base_gta2cityscapes --row projected',
        'vfm_uda_dinov2_base_gta2cityscapes --row urbansyn', 'vfm_uda_dinov2_small_gta2cityscapes --row frozen',
        'unimatch_v2_dinov2_base_cityscapes_1_8 --row unimatch',
        'unimatch_v2_dinov2_base_voc_classic_183 --row student',
        'mic_hrda_mitb5_gta2cityscapes --row both']


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    return plant(write_all(tmp_path_factory.mktemp('foundation_data')))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path_factory.getbasetemp() / 'cache'))


@pytest.mark.ci
@pytest.mark.parametrize('name', NEW + ROWS)
def test_trains_shrunken(name, tmp_path, data):
    """Four iterations from random weights, validated and saved."""
    runner, before = train(name, tmp_path, data, iters=4, pictures=False)
    assert runner.iter == 4 and (tmp_path / 'work' / 'iter_4.pth').is_file()
    after = runner.model.student.state_dict()
    assert all(torch.isfinite(v).all() for v in after.values() if v.is_floating_point())
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert any('decode_head' in k for k in moved)
    kind = runner.cfg.model.network.backbone.get('trainable', 'all')
    trained = {k for k in moved if k.startswith('backbone.')}
    assert bool(trained) == (kind != 'none')
    assert kind != 'adapters' or all('.lora_' in k or k.endswith('bias') for k in trained)


def test_there_are_at_most_25():
    assert len(NEW) <= 25
    assert all('dinov2' in name or LEAVES[name].parent.name == 'mic' for name in NEW)


def test_mic_adds_the_pass_and_nothing_else():
    for name, control in (('mic_hrda_mitb5_gta2cityscapes', 'hrda_mitb5_gta2cityscapes'),
                          ('mic_daformer_mitb5_gta2cityscapes', 'daformer_mitb5_gta2cityscapes')):
        assert {k.rpartition('.')[0] for k in changed_keys(name, control)} == {'model.masked'}
    sizes = [load(f'mic_{n}_mitb5_gta2cityscapes').model.masked.block_size for n in ('hrda', 'daformer')]
    assert sizes == [64, 32]


@pytest.mark.parametrize('size', ['small', 'base', 'large'])
def test_source_only_has_the_same_network_source_and_steps(size):
    ours, control = (load(f'{kind}_dinov2_{size}_gta2cityscapes') for kind in ('vfm_uda', 'source_only'))
    assert ours.model.network == control.model.network
    assert ours.train_dataloader.source == control.train_dataloader.source and len(control.train_dataloader) == 1
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_dataloader', 'auto_scale_lr'):
        assert ours[key] == control[key], key


@pytest.mark.parametrize('method', ['fixmatch', 'unimatch', 'supervised_only'])
def test_semi_supervised_rows_share_network_and_rates(method):
    v2, other = load('unimatch_v2_dinov2_base_voc_classic_183'), load(f'{method}_dinov2_base_voc_classic_183')
    assert v2.model.network == other.model.network and v2.optim_wrapper == other.optim_wrapper
    assert v2.train_dataloader.labeled.dataset == other.train_dataloader.labeled.dataset
    if method != 'supervised_only':
        assert v2.train_cfg == other.train_cfg and v2.train_dataloader == other.train_dataloader
        for key in ('pseudo_labels', 'evaluate', 'mix_stream', 'threshold'):
            assert v2.model[key] == other.model[key], key
        assert v2.custom_hooks == other.custom_hooks


def test_few_target_labels_add_a_stream_and_share_no_image():
    name = 'ssda_dinov2_base_gta2cityscapes_1_16'
    changed = changed_keys(name, 'vfm_uda_dinov2_base_gta2cityscapes')
    assert {k for k in changed if not k.startswith('train_dataloader.target_labeled.')} == {
        'model.target_labeled_stream', 'model.target_labeled_weight', 'train_dataloader.target.dataset.ann_file'}
    lists = [load(name).train_dataloader[s].dataset.ann_file for s in ('target', 'target_labeled')]
    assert lists == ['splits/1_16/unlabeled.txt', 'splits/1_16/labeled.txt']
    streams = read(f'{name} --subset 1_8').train_dataloader
    assert [streams[s].dataset.get('ann_file') for s in ('source', 'target', 'target_labeled')] == [
        None, 'splits/1_8/unlabeled.txt', 'splits/1_8/labeled.txt']


def test_generalization_trains_what_its_name_says():
    counts = {}
    for kind in ('linear', 'frozen', 'lora', 'full'):
        cfg = load(f'dg_{kind}_dinov2_large_gta')
        network = build_on_meta(cfg.model.network)
        counts[kind] = sum(p.numel() for p in network.backbone.parameters() if p.requires_grad) / 1e6
        assert all('on the targets' in protocol.note for protocol in cfg.val_cfg.protocols.values())
        assert cfg.default_hooks.checkpoint.save_best == 'mean/mIoU'
    assert counts['linear'] == counts['frozen'] == 0 and counts['full'] > 300 and 0 < counts['lora'] < 10


@pytest.mark.parametrize('size, head, total', [('small', 2.7, 24.8), ('base', 10.9, 97.5)])
def test_dpt_sizes(size, head, total):
    """docs/behavior/unimatch_v2.md#network, without what the published network holds and never uses."""
    network = build_on_meta(load(f'unimatch_v2_dinov2_{size}_voc_classic_183').model.network)
    counts = [sum(p.numel() for p in m.parameters()) / 1e6 for m in (network.decode_head, network)]
    assert counts == pytest.approx([head, total], abs=0.35)


def test_head_learns_at_forty_times_the_encoders_rate():
    from .test_schedules import build_optim_wrapper
    wrapper, _ = build_optim_wrapper('unimatch_v2_dinov2_small_voc_classic_183')
    assert sorted({round(g['lr'], 12) for g in wrapper.optimizer.param_groups}) == [5e-6, 2e-4]
    assert {g['weight_decay'] for g in wrapper.optimizer.param_groups} == {0.01}
    cfg = load('vfm_uda_dinov2_base_gta2cityscapes').optim_wrapper
    assert cfg.constructor == 'LayerDecayParamGroups' and cfg.paramwise_cfg == dict(encoder_mult=0.1, decay=1.)
