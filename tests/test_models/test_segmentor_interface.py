"""What training methods ask of a network: misspelled answers are errors, and a head's classifier is watched."""
import pytest
import torch
from mmseg.models import EncoderDecoder
from torch import nn

from mmseg_dg.methods import BaseMethod
from mmseg_dg.models.decode_heads.classifier import classifier_calls, decode
from mmseg_dg.models.segmentors import TrainableSegmentor, draw_crop_box, segmentation_losses
from mmseg_dg.registry import MODELS


def network(**head):
    head = dict(dict(type='FCNHead', in_channels=8, in_index=1, channels=6, num_convs=1, concat_input=False,
                     num_classes=4), **head)
    return dict(type='EncoderDecoder', decode_head=head, train_cfg=dict(), test_cfg=dict(mode='whole'), backbone=dict(
        type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4, init_cfg=None))


def test_a_misspelled_override_is_an_error():
    with pytest.raises(TypeError, match='predict_logit overrides nothing.*is predict_logits meant'):
        type('Network', (TrainableSegmentor, EncoderDecoder), dict(predict_logit=lambda self, images: images))
    with pytest.raises(TypeError, match='before_trainning overrides nothing.*is before_training meant'):
        type('Method', (BaseMethod, ), dict(before_trainning=lambda self: None))
    type('Network', (TrainableSegmentor, EncoderDecoder), dict(own_question=lambda self: None, _predict_logit=None))


def test_answers_that_nobody_would_ask_for_are_an_error():

    class Deaf(EncoderDecoder):

        def draw_crop_box(self, image_size, rng):
            return 0, 32, 0, 32

    MODELS.register_module(module=Deaf, force=True)
    with pytest.raises(ValueError, match=r'Deaf defines draw_crop_box, but is no TrainableSegmentor'):
        MODELS.build(dict(type='Supervised', network=dict(network(), type='Deaf')))


def test_a_segmentor_of_mmsegmentation_answers_as_a_plain_one():
    plain = MODELS.build(network())
    assert draw_crop_box(plain, (64, 64), None) is None
    result = segmentation_losses(plain, torch.randn(2, 3, 64, 64), torch.randint(0, 4, (2, 64, 64)))
    assert set(result.losses) == {'decode.loss_ce'} and set(result.logs) == {'decode.acc_seg'}


@pytest.mark.parametrize('dropout', [0., 0.5])
def test_classifier_calls_are_noted_before_dropout_and_may_be_nested(dropout):
    head = MODELS.build(network(dropout_ratio=dropout)).decode_head.train()
    maps = [torch.randn(2, 8, 4, 4)] * 4
    with classifier_calls(head) as outer:
        inner = decode(head, maps)
        logits = head(maps)
    assert len(outer) == 2 and len(inner.calls) == 1, 'the inner one has seen its own call only'
    torch.testing.assert_close(inner.calls[0].features, head.convs(maps[1]), msg='features are those before dropout')
    assert torch.equal(outer[1].logits, logits) and torch.equal(inner.logits, outer[0].logits)
    head(maps)
    assert len(outer) == 2 and not head.conv_seg._forward_hooks, 'nothing is left behind'


def test_a_head_compiles_while_its_classifier_is_watched():
    head = MODELS.build(network(dropout_ratio=0.)).decode_head.eval()
    maps = [torch.randn(2, 8, 4, 4)] * 4
    with classifier_calls(head) as calls:
        compiled = torch.compile(head, backend='eager')
        torch.testing.assert_close(compiled(maps), calls[0].logits)
    assert isinstance(head, nn.Module)
