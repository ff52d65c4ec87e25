"""Every public tensor function on the edges of what it may be given: tiny maps, half precision, extreme values.

It answers with finite numbers of the right shape, or refuses with a message; it never answers with NaN, and gradients
of what is learned through are finite too.
"""
import inspect

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmseg_dg.ops as ops
from mmseg_dg.ops import diffusion
from mmseg_dg.ops import pixel_alignment as alignment

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
REFUSED = (ValueError, TypeError)
quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@st.composite
def maps(draw, channels=None, kinds=('normal', 'constant', 'zero', 'large', 'one hot'), grad=True):
    """(B, C, H, W) of any floating type; sides from 1 pixel."""
    shape = (draw(st.integers(1, 2)), channels or draw(st.integers(1, 4)), draw(st.sampled_from((1, 2, 5))),
             draw(st.sampled_from((1, 3, 8))))
    dtype, kind = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(kinds))
    values = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    values = {'normal': values, 'constant': torch.full(shape, 0.3), 'zero': torch.zeros(shape),
              'large': values * 1e3, 'one hot': (values > 1).float() * 60}[kind]
    return values.to(dtype).requires_grad_(grad)


def unit(x):
    return x.detach().float().sigmoid().to(x.dtype)


def check(function, *inputs, same=None):
    """Call it; what comes back, and the gradient of every input that has one, is finite."""
    try:
        result = function(*inputs)
    except REFUSED as error:
        assert len(str(error)) > 10
        return None
    outputs = [x for x in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(x, torch.Tensor)]
    for x in outputs:
        assert torch.isfinite(x).all(), (function, x)
    if same is not None:
        assert outputs[0].shape == same.shape and outputs[0].dtype == same.dtype
    leaves = [x for x in inputs if isinstance(x, torch.Tensor) and x.requires_grad]
    learned = [x for x in outputs if x.requires_grad]
    if leaves and learned:
        for gradient in torch.autograd.grad(sum(x.float().sum() for x in learned), leaves, allow_unused=True):
            assert gradient is None or torch.isfinite(gradient).all(), function
    return result


@quick
@given(maps(), st.floats(1e-320, 1e300), st.sampled_from((None, 1, 3, (1, 5))))
def test_blur(x, sigma, kernel):
    check(lambda x: ops.gaussian_blur(x, sigma, kernel), x, same=x)


@pytest.mark.parametrize('sigma', [5e-324, 1e-200, 1e-20, 0.01, 1e200])
def test_blur_of_tiny_and_huge_sigmas(sigma):
    image = torch.rand(1, 3, 12, 12, dtype=torch.float16)
    blurred = ops.gaussian_blur(image, sigma, 5)
    assert torch.equal(blurred, image) if sigma < 0.1 else torch.isfinite(blurred).all()


@quick
@given(maps(), st.floats(0, 30))
def test_style(x, std):
    count = x.shape[:2]
    mean, deviation = check(ops.channel_statistics, x)
    assert mean.shape == deviation.shape == count and mean.dtype in (torch.float32, torch.float64)
    assert (deviation >= 9e-8).all()
    if std == std:
        check(lambda x: ops.restyle(x, torch.zeros(count), torch.full(count, std)), x, same=x)
    check(ops.style_consistency, x, (x.detach() * 1.1).requires_grad_())
    check(lambda x: ops.lab_style(x, ops.draw_lab_style(len(x), torch.Generator().manual_seed(0))), unit(x))


def test_one_position_has_no_deviation():
    maps = torch.full((1, 2, 1, 1), 7., dtype=torch.float16)
    mean, std = ops.channel_statistics(maps)
    assert mean.tolist() == [[7., 7.]] and std.tolist() == [[pytest.approx(1e-7)] * 2]
    assert ops.restyle(maps, torch.tensor([[3., 4.]]), torch.ones(1, 2)).flatten().tolist() == [3., 4.]
    with pytest.raises(ValueError, match='at least one position'):
        ops.channel_statistics(torch.zeros(1, 2, 0, 3))


@quick
@given(maps(channels=3), st.sampled_from((0.02, 0.1, 1., 50.)), st.sampled_from((None, 1, 512)), st.booleans())
def test_pair_contrast(x, temperature, block, complement):
    rows = torch.nn.functional.normalize(x.detach().float().permute(0, 2, 3, 1).flatten(0, 2), dim=1).to(x.dtype)
    rows.requires_grad_()
    labels = torch.arange(len(rows)) % 3
    factor = torch.rand(len(rows)).to(x.dtype)
    value = check(lambda q: ops.pair_contrast(q, q, labels, (factor, factor), complement, factor, temperature, block),
                  rows)
    assert value.dtype in (torch.float32, torch.float64)
    dense = ops.pair_contrast(rows.detach().double(), rows.detach().double(), labels, (factor.double(),) * 2,
                              complement, factor.double(), temperature)
    torch.testing.assert_close(value.double(), dense, rtol=1e-4, atol=1e-5)


@quick
@given(maps(channels=3), st.floats(0, 3), st.permutations(range(4)), st.floats(-0.5, 0.5))
def test_color(x, factor, order, hue):
    x = unit(x)
    params = ops.JitterParams(factor, factor, factor, hue, tuple(order))
    check(lambda x: ops.color_jitter(x, params), x, same=x)
    check(ops.rgb_to_hsv, x, same=x)
    check(lambda x: ops.hsv_to_rgb(ops.rgb_to_hsv(x)), x, same=x)
    check(lambda x: ops.normalize(ops.denormalize(x, [120.] * 3, [58.] * 3), [120.] * 3, [58.] * 3), x, same=x)
    view = ops.StrongView(ops.StrongJitter(factor, factor, factor, hue, tuple(order)), factor > 1, max(factor, 1e-300))
    if min(x.shape[-2:]) and x.dtype in (torch.float32, torch.float64):
        check(lambda x: ops.apply_strong_view(x, view), x[0], same=x[0])


@quick
@given(maps(), st.floats(0, 1), st.floats(0, 1))
def test_predictions(x, threshold, fraction):
    check(ops.pixel_entropy, x)
    check(lambda x: ops.pixel_entropy(x, True), x)
    check(lambda x: ops.confident_pseudo_labels(x, threshold), x)
    check(lambda x: ops.pseudo_labels(x, threshold, 1, 1), x)
    valid = torch.rand(len(x), *x.shape[-2:]) > 0.5
    target = ops.pseudo_labels_from(x, valid)
    assert torch.isfinite(target.confidence).all()
    check(lambda x: ops.confident_cross_entropy(x, target, threshold), x)
    scores = x.detach().float().sum(1)
    marked = check(lambda s: ops.highest_pixels(s, valid, fraction), scores)
    assert marked.flatten(1).sum(1).tolist() == [round(fraction * int(v.sum())) for v in valid]
    check(lambda x: ops.feature_distance(x, x.detach() + 0.5), x)
    check(lambda x: ops.feature_distance(x, x.detach(), valid), x)
    if x.shape[1] > 1:
        boxes = ops.entropy_guided_boxes(x, x.shape[-2:], (1, 1), 1)
        assert all(0 <= b[0] < b[1] <= x.shape[2] and 0 <= b[2] < b[3] <= x.shape[3] for b in boxes)


@quick
@given(maps(), st.sampled_from(ops.noise_gamma.__globals__['NOISE_FORMS']), st.floats(0, 50))
def test_denoising_and_diffusion(x, form, sigma):
    sigmas, noise = torch.full((len(x), ), sigma), torch.randn(x.shape).to(x.dtype)
    noisy = check(lambda x: ops.add_noise(x, noise, sigmas, form), x, same=x)
    clean = ops.clean_estimate(noisy.detach(), noise, sigmas, form)
    assert torch.isfinite(ops.noise_gamma(sigmas)).all() and clean.dtype == x.dtype
    times = torch.tensor([0., 0.5, 1.])
    for schedule in diffusion.SCHEDULES:
        alpha, deviation = diffusion.levels(times, schedule)
        assert torch.isfinite(diffusion.log_snr(times, schedule)).all()
        small = x.detach().clamp(-1, 1)
        for a, s in ((0, 1), (1, 2), (2, 0)):
            args = (alpha[[a] * len(x)], deviation[[a] * len(x)], alpha[[s] * len(x)], deviation[[s] * len(x)])
            check(lambda x, args=args: diffusion.noised_code(x, noise, *args[:2]), x, same=x)
            check(lambda x, y=small, args=args: diffusion.ddim_step(x, y, *args), small, same=x)


@quick
@given(st.integers(1, 400), st.integers(1, 3), st.booleans(), st.integers(0, 3))
def test_labels(num_classes, side, ignored, seed):
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, num_classes, (1, side, side)))
    if ignored:
        labels[0, 0, 0] = 255
    table = torch.randn(num_classes + 1, 4)
    calls = [lambda: ops.downscale_labels(labels, 1, 0.5, num_classes),
             lambda: diffusion.one_hot_code(labels, num_classes, 0.1),
             lambda: diffusion.analog_bits_code(labels, num_classes, 0.1),
             lambda: diffusion.embedding_code(labels, table, 0.1)]
    for call in calls:
        if num_classes > 255:
            with pytest.raises(ValueError, match=f'{num_classes} classes have the ids .* 255 also marks ignored'):
                call()
        else:
            assert torch.isfinite(call().float()).all()
    drawn = ops.draw_mix_classes(labels, np.random.RandomState(seed))
    assert ops.class_mask(labels[0], drawn[0]).any()


@quick
@given(maps(channels=3), st.floats(0.05, 10))
def test_alignment(x, temperature):
    labels = (torch.arange(x[:, 0].numel()) % 4).view(x[:, 0].shape)
    labels = torch.where(labels == 3, 255, labels)
    entropy, joint = ops.pixel_entropy(x), labels != 255
    sums = alignment.class_sums(x.detach(), labels, joint, entropy, 3)
    prototypes = alignment.class_prototypes(sums)
    assert all(torch.isfinite(t.float()).all() for t in (*sums, *prototypes))
    rows = alignment.gather_pixels(x, joint)[0]
    terms = alignment.info_nce(rows, labels[0][joint[0]], prototypes.vectors[0], prototypes.present[0], temperature)
    assert torch.isfinite(terms[0])
    gradient, = torch.autograd.grad(terms[0], x, allow_unused=True)
    assert gradient is None or torch.isfinite(gradient).all()


def test_every_public_function_is_looked_at():
    """A new function must be added here, or to those without floating point maps."""
    source = inspect.getsource(inspect.getmodule(test_every_public_function_is_looked_at))
    elsewhere = {  # draws and geometry: no maps of numbers; their own tests have their edges
        'ComplementaryMasks', 'CropBox', 'EncodedImages', 'LABStyleDraws', 'PixelView', 'PseudoLabels',
        'blur_kernel_size', 'mix_encoded', 'paste_encoded', 'pixel_accuracy',
        'check_cutmix', 'check_fraction', 'draw_complementary_masks', 'drop_complementary_channels',
        'check_ignore_index', 'check_strong_view', 'class_membership', 'cut_box', 'cut_boxes',
        'draw_crop_box', 'draw_cutmix_box', 'draw_jitter_params', 'draw_kept_blocks', 'draw_strong_view',
        'enlarge_blocks', 'farthest_points',
        'linear_schedule', 'mix', 'paste_boxes', 'pseudo_label_weights', 'psnr', 'rare_class_probabilities',
        'seeded_noise', 'shift_box', 'shrink_box', 'sliding_boxes', 'at_least_float32', 'rgb_to_unit_lab',
        'unit_lab_to_rgb'}
    missing = [name for name in ops.__all__ if f'ops.{name}' not in source and name not in elsewhere]
    assert not missing, missing
