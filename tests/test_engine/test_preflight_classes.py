"""Number of classes, class weights, losses and the ignored id are compared before iteration 0."""
import cv2
import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from mmseg_dg.registry import MODELS


@MODELS.register_module()
class LossWithoutWeight(nn.Module):
    """A user's loss that takes a weight and forgets it; on demand one that has no such argument."""
    loss_name = 'loss_own'

    def __init__(self, form='forgets'):
        super().__init__()
        self.form = form

    def forward(self, logits, labels, ignore_index=255, **kwargs):
        if self.form == 'has none' and kwargs.get('weight') is not None:
            raise TypeError("unexpected argument 'weight'")
        if self.form == 'scales':  # half of the pixels' own weight
            return (logits.square().mean(1) * (1 if kwargs['weight'] is None else kwargs['weight'])).mean()
        return logits.square().mean()


@pytest.fixture
def refused(tiny_config, run_config):

    def check(change, match, train=True, method='Supervised', error=ValueError):
        cfg = tiny_config(method)
        change(cfg)
        with pytest.raises(error, match=match):
            run_config(cfg, train)

    return check


def aux_head(**kwargs):
    return dict(dict(type='FCNHead', in_channels=8, channels=8, in_index=2, num_convs=1, num_classes=4,
                     norm_cfg=dict(type='BN')), **kwargs)


@pytest.mark.parametrize('size', [3, 5])
@pytest.mark.parametrize('validation', [True, False])
def test_head_of_another_size(refused, size, validation):

    def change(cfg):
        cfg.model.network.decode_head.num_classes = size
        if not validation:
            for key in ('val_dataloader', 'val_evaluator', 'val_cfg'):
                cfg.pop(key)

    refused(change, f'num_classes={size}.* 4 classes .road, building' if not validation else 'num_classes')


def test_auxiliary_head_of_another_size(refused):
    """One of several, in a list; both sizes that fail loudly and ones that do not."""

    def change(cfg):
        cfg.model.network.auxiliary_head = [aux_head(), aux_head(num_classes=7, loss_decode=dict(
            type='CrossEntropyLoss', class_weight=[1.] * 7))]

    refused(change, r'auxiliary_head\.1\.num_classes=7, but the training data has 4 classes .*set num_classes=4.*'
                    r'auxiliary_head\.1\.loss_decode\.class_weight')


def test_feature_distance_of_classes_that_are_not_there(refused):
    refused(lambda cfg: cfg.model.update(feature_distance=dict()), r'feature_distance\.classes has \[6, 7, 11')


def test_class_weights_of_another_length(refused):

    def change(cfg):
        cfg.model.network.auxiliary_head = aux_head(loss_decode=dict(type='CrossEntropyLoss', class_weight=[1., 2.]))

    refused(change, r'auxiliary_head\.loss_decode\.class_weight has 2 values for num_classes=4', train=False)
    refused(lambda cfg: cfg.model.network.decode_head.update(loss_decode=[dict(type='CrossEntropyLoss'), dict(
        type='FocalLoss', alpha=[0.5] * 3)]), r'loss_decode\.1\.alpha has 3 values', train=False)


@pytest.mark.parametrize('head, match', [
    (dict(num_classes=2, out_channels=1, threshold=0.5, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)),
     r'decode_head\.out_channels=1: .*num_classes=2'),
    (dict(num_classes=4, out_channels=1), r'decode_head\.out_channels=1: '),
    (dict(num_classes=1), r"num_classes=1: .*classes=\['background'"),
    (dict(num_classes=256), r'num_classes=256: .*at most 255'),
])
@pytest.mark.parametrize('method', ['DACS', 'Supervised'])
def test_heads_that_cannot_be_trained(tiny_config, method, head, match):
    cfg = tiny_config(method)
    cfg.model.network.decode_head.update(head)
    with pytest.raises(ValueError, match=match) as error:
        MODELS.build(cfg.model)
    assert '\n' not in str(error.value)


def test_one_channel_in_other_places_is_found(tiny_config):
    cfg = tiny_config()
    cfg.model.network.auxiliary_head = [aux_head(num_classes=2, out_channels=1)]
    with pytest.raises(ValueError, match=r'auxiliary_head\.0\.out_channels=1'):
        MODELS.build(cfg.model)
    cfg.model.network = ConfigDict(type='HRDAEncoderDecoder', decode_head=dict(type='HRDAHead', head=dict(
        cfg.model.network.decode_head, num_classes=2, out_channels=1)))
    with pytest.raises(ValueError, match=r'decode_head\.head\.out_channels=1'):
        MODELS.build(cfg.model)


def test_the_advice_to_use_one_channel_is_silent():
    import warnings

    from mmseg_dg import compat
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        compat.silence_binary_advice()
        MODELS.build(aux_head(num_classes=2))
    assert not [w for w in caught if 'out_channels' in str(w.message)]


@pytest.mark.parametrize('loss, match', [
    (dict(type='LossWithoutWeight'), r'loss_decode: LossWithoutWeight does not heed the weight .* instead of 0'),
    (dict(type='LossWithoutWeight', form='has none'), r'LossWithoutWeight takes no weight per pixel \(TypeError'),
    (dict(type='mmseg.DiceLoss'), r'DiceLoss takes no weight per pixel'),
    (dict(type='mmseg.TverskyLoss'), r'TverskyLoss does not heed the weight'),
    (dict(type='HuasdorffDisstanceLoss'), r'HuasdorffDisstanceLoss does not heed the weight'),
    (dict(type='BoundaryLoss'), r'BoundaryLoss cannot be trained by DACS'),
])
def test_losses_are_probed_with_weights(tiny_config, loss, match):
    cfg = tiny_config()
    cfg.model.network.decode_head.loss_decode = loss
    before = torch.random.get_rng_state()
    with pytest.raises(ValueError, match=match):
        MODELS.build(cfg.model)
    assert before.shape == torch.random.get_rng_state().shape


def test_losses_are_probed_only_where_weights_are_used(tiny_config):
    cfg = tiny_config('Supervised')
    cfg.model.network.decode_head.loss_decode = dict(type='LossWithoutWeight')
    MODELS.build(cfg.model)
    cfg.model.network.decode_head.sampler = dict(type='OHEMPixelSampler', thresh=0.7)  # its choice is a weight
    with pytest.raises(ValueError, match='does not heed the weight'):
        MODELS.build(cfg.model)
    cfg = tiny_config('DACS')
    cfg.model.network.decode_head.loss_decode = dict(type='LossWithoutWeight', form='scales')
    MODELS.build(cfg.model)


def test_a_loss_by_its_bare_name_trains_weighted(tiny_config, run_config):
    cfg = tiny_config('DACS', max_iters=2)
    cfg.model.network.decode_head.loss_decode = [dict(type=name) for name in (
        'CrossEntropyLoss', 'DiceLoss', 'FocalLoss', 'TverskyLoss', 'OhemCrossEntropy')] + [dict(
            type='LovaszLoss', reduction='none')]
    cfg.model.pseudo_threshold = 1.  # no pixel is sure: the mixed pass learns from source pixels only
    runner = run_config(cfg)
    assert runner.iter == 2
    assert all(type(m).__module__ == 'mmseg_dg.models.losses.weighted'
               for m in runner.model.student.decode_head.loss_decode)


# ---------------------------------------------------------------- the id of ignored pixels
PLACES = {
    'head': lambda cfg, v: cfg.model.network.decode_head.update(ignore_index=v),
    'dataset': lambda cfg, v: cfg.train_dataloader.source.dataset.update(ignore_index=v),
    'pad': lambda cfg, v: cfg.train_dataloader.source.dataset.pipeline.insert(
        2, dict(type='Pad', size=(100, 100), pad_val=dict(img=0, seg=v))),
    'loss': lambda cfg, v: cfg.model.network.decode_head.update(loss_decode=dict(
        type='OhemCrossEntropy', ignore_label=v)),
    'metric': lambda cfg, v: cfg.val_evaluator.update(ignore_index=v),
    'auxiliary': lambda cfg, v: cfg.model.network.update(auxiliary_head=aux_head(ignore_index=v)),
    'preprocessor': lambda cfg, v: cfg.model.data_preprocessor.update(size=(64, 64), seg_pad_val=v),
}


@pytest.mark.parametrize('place, named', [
    ('head', r'decode_head\.ignore_index'), ('dataset', r'source\.dataset\.ignore_index'),
    ('pad', r'pipeline\.Pad\.pad_val\.seg'), ('loss', r'loss_decode\.ignore_label'),
    ('metric', r'val_evaluator \(target: ConfusionMatrixMetric\)\.ignore_index'),
    ('auxiliary', r'auxiliary_head\.ignore_index'), ('preprocessor', r'data_preprocessor\.seg_pad_val')])
def test_one_part_ignores_another_id(refused, place, named):
    """The masks of the tiny data have ignored pixels of 255, which the message says."""
    if place == 'dataset':  # its own samples are refused as well
        refused(lambda cfg: PLACES[place](cfg, 254), r'(?s)ignore_index.*254: [^;]*' + named)
        return
    refused(lambda cfg: PLACES[place](cfg, 254), r'(?s)(?=.*254: [^;]*' + named + r')(?=.*255: .*)(?=.*\. The masks '
            r'have ignored pixels of 255 \(.*label/\d+\.png\): give all of them 255)')


def test_all_parts_ignore_another_id(tiny_config, tiny_data, run_config, tmp_path):
    import shutil
    shutil.copytree(tiny_data, tmp_path / 'data')
    for path in (tmp_path / 'data').rglob('label/*.png'):
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        label[label == 255] = 200
        cv2.imwrite(str(path), label)
    cfg = tiny_config('Supervised', max_iters=2)
    for change in PLACES.values():
        change(cfg, 200)
    cfg.train_dataloader.source.dataset.data_root = str(tmp_path / 'data' / 'source')
    for loader in (cfg.val_dataloader.target, cfg.test_dataloader.target):
        loader.dataset.update(data_root=str(tmp_path / 'data' / 'target'), ignore_index=200)
    assert run_config(cfg).iter == 2
    cfg.model.network.decode_head.ignore_index = 255
    cfg.work_dir += '_2'
    with pytest.raises(ValueError, match=r'The masks have ignored pixels of 200 .*give all of them 200'):
        run_config(cfg)


def test_ignoring_a_class(refused):
    refused(lambda cfg: PLACES['head'](cfg, 0), r"0 is the id of the class 'road': to ignore it, map it")
