"""HRDA's inference: outer and detail windows, shared ones, any image size."""
import pytest
import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample

from .hrda_networks import tiny


class CountedImages:
    """How many images went through a module."""

    def __init__(self, module):
        self.total, self.largest = 0, 0
        module.register_forward_pre_hook(self.count)

    def count(self, module, inputs):
        self.total += len(inputs[0])
        self.largest = max(self.largest, len(inputs[0]))


def outer(**kwargs):
    return dict(dict(mode='slide', crop_size=(128, 128), stride=(64, 64)), **kwargs)


@pytest.mark.parametrize('chunk', [None, 1, 4, 5])
@torch.no_grad()
def test_shared_detail_windows_are_encoded_once(chunk):
    """The geometry of 2048x1024 with windows of 1024 and detail windows of 512, eight times smaller."""
    images = torch.randn(1, 3, 128, 256)
    plain = tiny(test_cfg=outer(share_detail_windows=False, batch_chunk=None))
    shared = tiny(test_cfg=outer(batch_chunk=chunk))
    counts = [CountedImages(model.backbone) for model in (plain, shared)]
    expected, ours = (model.slide_inference(images) for model in (plain, shared))
    assert [c.total for c in counts] == [3 + 27, 3 + 21]
    assert chunk is None or counts[1].largest <= chunk
    assert (ours - expected).abs().max() < 1e-4
    assert expected.abs().max() > 1, 'logits large enough for the comparison to mean something'


@torch.no_grad()
def test_batches_of_images_in_outer_windows():
    images = torch.randn(2, 3, 128, 192)
    model = tiny(test_cfg=outer(batch_chunk=3))
    single = torch.cat([model.slide_inference(image[None]) for image in images])
    torch.testing.assert_close(model.slide_inference(images), single, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('size', [(120, 237), (130, 131), (64, 64), (33, 200), (256, 128), (17, 19)])
@torch.no_grad()
def test_any_image_size(size):
    model = tiny(test_cfg=outer())
    images = torch.randn(1, 3, *size)
    for logits in (model.encode_decode(images), model.slide_inference(images)):
        assert logits.shape == (1, 5, *size) and logits.isfinite().all()


@torch.no_grad()
def test_real_gta_size():
    """1914x1052 breaks the official code: 240 context cells twice are not 478 detail cells."""
    model = tiny(hr_crop_size=(512, 512))
    for crop in (None, (1024, 1024)):
        model.test_cfg.update(dict(mode='whole') if crop is None else dict(mode='slide', crop_size=crop,
                                                                         stride=(512, 512)))
        logits = model.inference(torch.randn(1, 3, 1052, 1914), [dict(ori_shape=(1052, 1914))])
        assert logits.shape[-2:] == (1052, 1914)


@torch.no_grad()
def test_an_image_that_needs_padding_is_that_image_with_zeros_around():
    model, images = tiny(), torch.randn(1, 3, 121, 128)
    logits = model.encode_decode(F.pad(images, (0, 0, 0, 7)))
    assert torch.equal(model.encode_decode(images), logits[:, :, :121])


@torch.no_grad()
def test_one_side_alone():
    images = torch.randn(1, 3, 128, 128)
    both = tiny()
    head = both.decode_head
    for output, fixed in (('LR', 0.), ('HR', 1.)):
        alone = tiny(test_cfg=dict(mode='whole', output=output))
        counted = CountedImages(alone.backbone)
        logits = alone.encode_decode(images)
        assert counted.total == dict(LR=1, HR=9)[output], 'the other scale is not computed'
        context = both.extract_feat(images)
        attention = torch.full((1, 1, 16, 16), fixed)
        details, = both._merged_details(images, [(0, 128, 0, 128)], {}, None)
        expected = head.fuse(head.logits(context), details, attention).fused
        torch.testing.assert_close(logits, F.interpolate(expected, size=(128, 128), mode='bilinear'), rtol=1e-4,
                                   atol=1e-5)
        assert not torch.equal(alone.predict_logits(images), logits), 'pseudo-labels use both'


@torch.no_grad()
@torch.no_grad()
def test_predict_resizes_to_the_original_size():
    model = tiny(test_cfg=outer())
    sample = SegDataSample(metainfo=dict(ori_shape=(200, 300), img_shape=(100, 150)))
    result, = model.predict(torch.randn(1, 3, 100, 150), [sample])
    assert result.pred_sem_seg.data.shape == (1, 200, 300)
    assert model(torch.randn(1, 3, 64, 72)).shape == (1, 5, 16, 18), "mode 'tensor'"
