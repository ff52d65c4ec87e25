"""The diffusion of label maps against closed forms in float64 numpy."""
import math

import numpy as np
import pytest
import torch

from mmseg_dg.ops import diffusion as D

TIMES = np.linspace(0, 1, 101)


def numpy_levels(t):
    """The cosine formula of docs/behavior/unimatch.md#ddp-noise-schedule, written independently."""
    cosine = np.cos((np.asarray(t, np.float64) + 0.0002) / 1.00025 * np.pi / 2)
    snr = -np.log(np.maximum(cosine**-2 - 1, 1e-5))
    return np.sqrt(1 / (1 + np.exp(-snr))), np.sqrt(1 / (1 + np.exp(snr)))


# ---------------------------------------------------------------------- schedule
@pytest.mark.parametrize('schedule', D.SCHEDULES)
def test_alpha_and_sigma_are_on_the_unit_circle(schedule):
    alpha, sigma = D.levels(torch.from_numpy(TIMES), schedule)
    assert alpha.dtype == torch.float64
    np.testing.assert_allclose((alpha**2 + sigma**2).numpy(), 1, rtol=0, atol=1e-14)
    assert (alpha.diff() < 0).all() and (sigma.diff() >= 0).all()


def test_cosine_schedule_is_the_closed_form():
    alpha, sigma = D.levels(torch.from_numpy(TIMES))
    expected_alpha, expected_sigma = numpy_levels(TIMES)
    np.testing.assert_allclose(alpha.numpy(), expected_alpha, rtol=1e-12)
    np.testing.assert_allclose(sigma.numpy(), expected_sigma, rtol=1e-12)
    # away from the floor alpha is the plain cosine
    np.testing.assert_allclose(alpha.numpy()[5:], np.cos((TIMES[5:] + 0.0002) / 1.00025 * np.pi / 2), rtol=1e-10)


@pytest.mark.parametrize(('t', 'alpha', 'sigma'), [(0, 1, 0), (1 / 3, 0.866, 0.5), (2 / 3, 0.5, 0.866), (1, 8e-5, 1)])
def test_schedule_at_the_times_of_the_specification(t, alpha, sigma):
    ours = [float(x) for x in D.levels(torch.tensor([t], dtype=torch.float64))]
    assert ours[0] == pytest.approx(alpha, abs=5e-4 if t < 1 else 5e-6)
    assert ours[1] == pytest.approx(sigma, abs=5e-4 if t else 4e-3)  # the floor leaves sqrt(1e-5) at t = 0


def test_linear_schedule_is_the_closed_form():
    snr = D.log_snr(torch.from_numpy(TIMES), 'linear').numpy()
    np.testing.assert_allclose(snr, -np.log(np.expm1(1e-4 + 10 * TIMES**2)), rtol=1e-12)


def test_unknown_schedule_names_the_value():
    with pytest.raises(ValueError, match="'quadratic'"):
        D.log_snr(torch.zeros(1), 'quadratic')


# ---------------------------------------------------------------------- forward and backward
def test_one_ddim_step_by_hand():
    """Two pixels, numbers of t = 2/3 -> 1/3 typed in: alpha 0.5, sigma 0.8660254, then 0.8660254 and 0.5."""
    root = math.sqrt(3) / 2
    clean, noisy = torch.tensor([0.1, -0.1]), torch.tensor([0.9, -1.3])
    step = D.ddim_step(noisy.view(1, 1, 1, 2).double(), clean.view(1, 1, 1, 2).double(), *(
        torch.tensor([v], dtype=torch.float64) for v in (0.5, root, root, 0.5)))
    # eps = (0.9 - 0.05)/0.8660254 = 0.9814955; 0.8660254*0.1 + 0.5*0.9814955 = 0.5773503
    # eps = (-1.3 + 0.05)/0.8660254 = -1.4433757; -0.0866025 - 0.7216878 = -0.8082904
    torch.testing.assert_close(step.flatten().float(), torch.tensor([0.5773503, -0.8082904]), rtol=0, atol=1e-6)


def test_ddim_step_with_the_true_code_recovers_the_noise():
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    now, after = (D.levels(torch.tensor(t, dtype=torch.float64)) for t in ([0.9, 0.4], [0.5, 0.0]))
    step = D.ddim_step(D.noised_code(clean, noise, *now), clean, *now, *after)
    torch.testing.assert_close(step, D.noised_code(clean, noise, *after))


def test_noising_is_per_image():
    clean, noise = torch.ones(2, 1, 1, 1), torch.full((2, 1, 1, 1), 10.)
    noisy = D.noised_code(clean, noise, torch.tensor([1., 0.5]), torch.tensor([0., 0.25]))
    assert noisy.flatten().tolist() == [1., 3.]


@pytest.mark.parametrize(('steps', 'difference', 'expected'), [
    (3, 1, [(1, 1 / 3), (2 / 3, 0), (1 / 3, 0)]),
    (3, 0, [(1, 2 / 3), (2 / 3, 1 / 3), (1 / 3, 0)]),
    (1, 1, [(1, 0)]),
])
def test_times_of_the_sampler(steps, difference, expected):
    np.testing.assert_allclose(D.time_pairs(steps, difference), expected, atol=1e-12)


@pytest.mark.parametrize('steps', [0, -1, 1.5])
def test_fewer_than_one_step_is_refused(steps):
    with pytest.raises(ValueError, match=f'steps={steps}'):
        D.time_pairs(steps)


def test_negative_time_difference_is_refused():
    with pytest.raises(ValueError, match='-1'):
        D.time_pairs(3, -1)


def test_noise_is_a_function_of_the_seed_of_an_image():
    both = D.noise_maps([3, 4], (2, 5, 6), 'cpu')
    swapped = D.noise_maps([4, 3], (2, 5, 6), 'cpu')
    assert torch.equal(both, swapped.flip(0)) and not torch.equal(both[0], both[1])


# ---------------------------------------------------------------------- codes
def test_label_codes_by_hand():
    labels = torch.tensor([[[0, 2, 255]]])
    one_hot = D.one_hot_code(labels, 3, 0.1)
    torch.testing.assert_close(one_hot[0, :, 0].t(), torch.tensor([[.1, 0, 0], [0, 0, .1], [0, 0, 0]]))
    bits = D.analog_bits_code(labels, 3, 0.1)
    torch.testing.assert_close(bits[0, :, 0].t(), torch.tensor([[-.1, -.1], [.1, -.1], [.1, .1]]))
    table = torch.tensor([[0.], [1.], [-2.], [3.]], requires_grad=True)
    code = D.embedding_code(labels, table, 0.1)
    expected = [0.1 * (2 / (1 + math.exp(-x)) - 1) for x in (0., -2., 3.)]
    assert code.flatten().tolist() == pytest.approx(expected)
    code.sum().backward()
    assert table.grad[1] == 0 and (table.grad[[0, 2, 3]] > 0).all()


@pytest.mark.parametrize(('classes', 'bits'), [(2, 2), (3, 2), (4, 3), (19, 5), (21, 5), (81, 7)])
def test_number_of_bits_leaves_room_for_ignored_pixels(classes, bits):
    assert D.num_bits(classes) == bits
    labels = torch.cat([torch.arange(classes), torch.tensor([255])]).view(1, 1, -1)
    code = D.analog_bits_code(labels, classes, 1.)[0, :, 0].t()
    assert len({tuple(row) for row in code.tolist()}) == classes + 1


def test_nearest_labels_keep_255():
    labels = torch.full((1, 8, 8), 255)
    labels[:, ::4, ::4] = 7
    assert D.downscale_label_map(labels, (2, 2)).tolist() == [[[7, 7], [7, 7]]]
    assert D.downscale_label_map(torch.full((1, 8, 8), 255), (2, 3)).unique().tolist() == [255]


@pytest.mark.parametrize(('scale', 'expected'), [
    (0.1, {0.1: 0.97, 0.2: 0.57, 1 / 3: 0.28, 0.5: 0.14, 2 / 3: 0.08}),
    (0.01, {0.1: 0.10, 0.2: 0.06, 1 / 3: 0.06, 0.5: 0.05, 2 / 3: 0.05}),
])
def test_a_noisy_code_alone_can_be_decoded_as_computed(scale, expected):
    """Best guess of one of 21 classes from one pixel's noisy 256-channel code;
    docs/behavior/diffmatch.md#effect-of-the-scaling-factor."""
    generator = torch.Generator().manual_seed(1)
    tables, pixels = 6, 1500
    for t, accuracy in expected.items():
        alpha, sigma = D.levels(torch.tensor([t], dtype=torch.float64))
        right = 0
        for _ in range(tables):
            codes = scale * (2 * torch.sigmoid(torch.randn(21, 256, generator=generator)) - 1)
            labels = torch.randint(21, (1, 1, pixels), generator=generator)
            clean = codes[labels.flatten()].t().reshape(1, 256, 1, pixels)
            noise = torch.randn(1, 256, 1, pixels, generator=generator)
            noisy = D.noised_code(clean, noise, alpha, sigma)[0, :, 0].t()
            right += int((torch.cdist(noisy, float(alpha) * codes).argmin(1) == labels.flatten()).sum())
        assert right / (tables * pixels) == pytest.approx(accuracy, abs=0.03), t


# ---------------------------------------------------------------------- prior
def test_prior_from_counts():
    prior = D.class_prior(torch.tensor([98, 0, 0]), floor=0)
    np.testing.assert_allclose(prior.numpy(), np.array([99, 1, 1]) / 101, rtol=1e-12)
    floored = D.class_prior(torch.tensor([10**9, 0]), floor=1e-2)
    np.testing.assert_allclose(floored.numpy(), np.array([1, 0.01]) / 1.01, rtol=1e-6)
    with pytest.raises(ValueError, match='floor=0.9'):
        D.class_prior(torch.ones(3), floor=0.9)


def test_adjustment_of_logits():
    prior = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    term = D.prior_logits(prior, torch.tensor([1., 0.5]), tau=0.5)[..., 0, 0]
    np.testing.assert_allclose(term.numpy(), 0.5 * np.array([[0, -1, -1], [0, -.5, -.5]]) * np.log(2), rtol=1e-12)
    assert not D.prior_logits(torch.full((19, ), 1 / 19), torch.tensor([0.3]), weighting='one').any()
    with pytest.raises(ValueError, match='cosine'):
        D.prior_logits(prior, torch.ones(1), weighting='cosine')
