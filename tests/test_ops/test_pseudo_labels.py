"""Pseudo-labels and weights: the recorded cases, the threshold itself, bands and masks."""
import pytest
import torch

from mmseg_dg.ops import confident_pseudo_labels, mix, pseudo_label_weights, pseudo_labels


@pytest.mark.claim('DAFormer')
def test_recorded_cases(recorded):
    for case in recorded('pseudo_label')['cases']:
        step, bands = case.get('stride', 1), (case['ignore_top'], case['ignore_bottom'], case['valid_pseudo_mask'])
        labels, confident, _ = confident_pseudo_labels(case['logits'], case['threshold'])
        assert torch.equal(labels, case['pseudo_label'][:, ::step, ::step])
        confident = confident + case.get('confident_elsewhere', 0)  # pixels that the sample leaves out
        weights = pseudo_label_weights(case['pseudo_label'].shape, confident, case['pseudo_label'].numel(), *bands)
        assert torch.equal(weights, case['pseudo_weight'])
        if step == 1:
            labels, weights = pseudo_labels(case['logits'], case['threshold'], *bands)
            assert torch.equal(labels, case['pseudo_label']) and torch.equal(weights, case['pseudo_weight'])
        mixed = mix(case['mix_masks'][:, 0].bool(), torch.ones_like(weights), weights)
        assert torch.equal(mixed, case['mixed_weight'])


def test_reaching_the_threshold_is_enough():
    logits = torch.zeros(1, 2, 2, 2)  # probability exactly 0.5
    labels, confident, total = confident_pseudo_labels(logits, 0.5)
    assert (confident.item(), total) == (4, 4) and confident.dtype == torch.int64 and confident.dim() == 0
    assert labels.dtype == torch.int64 and not labels.any()
    assert confident_pseudo_labels(logits, 0.5 + 1e-6)[1].item() == 0


def test_one_weight_for_the_whole_batch_including_the_bands():
    logits = torch.zeros(2, 2, 4, 3)
    logits[0, 1, 0] = 20.  # the three confident pixels lie in the band that is switched off
    labels, weights = pseudo_labels(logits, 0.9, ignore_top=1)
    assert labels[0, 0].tolist() == [1, 1, 1]
    assert not weights[:, 0].any()
    assert torch.equal(weights[:, 1:], torch.full((2, 3, 3), 3 / 24))


def test_bands_and_mask():
    weights = pseudo_label_weights((1, 6, 2), 1, 2, ignore_top=1, ignore_bottom=2)
    assert weights[0, :, 0].tolist() == [0, .5, .5, .5, 0, 0]
    assert torch.equal(pseudo_label_weights((1, 6, 2), 1, 2), torch.full((1, 6, 2), .5))
    assert not pseudo_label_weights((1, 6, 2), 1, 2, ignore_bottom=9).any()
    assert not pseudo_label_weights((1, 6, 2), 1, 2, ignore_top=9).any()
    mask = torch.tensor([1, 0, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    assert pseudo_label_weights((1, 1, 3), 1, 2, valid_mask=mask).tolist() == [[[.5, 0, 0]]]
    assert pseudo_label_weights((1, 1, 3), 1, 2, valid_mask=mask[0] == 1).tolist() == [[[.5, 0, 0]]]


def test_counts_summed_over_processes_give_the_joined_batch():
    logits = torch.randn(4, 5, 6, 6, generator=torch.Generator().manual_seed(0)) * 3
    parts = [confident_pseudo_labels(part, 0.7) for part in logits.split(2)]
    confident, total = sum(p[1] for p in parts), torch.tensor(sum(p[2] for p in parts))
    labels, weights = pseudo_labels(logits, 0.7)
    assert torch.equal(torch.cat([p[0] for p in parts]), labels)
    assert torch.equal(pseudo_label_weights(labels.shape, confident, total), weights)


def test_no_gradient_and_half_precision():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels, weights = pseudo_labels(logits, 0.5)
    assert not weights.requires_grad
    # 0.968 lies between two float16 numbers: the comparison must be made in float32.
    probability = torch.tensor([0.9681, 0.0319]).log().view(1, 2, 1, 1)
    exact = confident_pseudo_labels(probability.half().float(), 0.968)[1]
    assert confident_pseudo_labels(probability.half(), 0.968)[1] == exact


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r'\(3, 4, 4\)'):
        confident_pseudo_labels(torch.rand(3, 4, 4), 0.5)
    with pytest.raises(ValueError, match='int64'):
        confident_pseudo_labels(torch.zeros(1, 3, 4, 4, dtype=torch.long), 0.5)
    with pytest.raises(ValueError, match=r'96\.8'):
        confident_pseudo_labels(torch.rand(1, 3, 4, 4), 96.8)
    with pytest.raises(ValueError, match=r'\(4, 4\)'):
        pseudo_label_weights((4, 4), 1, 2)
    with pytest.raises(ValueError, match='ignore_top=-1'):
        pseudo_label_weights((1, 4, 4), 1, 2, ignore_top=-1)
    with pytest.raises(ValueError, match='total must be positive, got 0'):
        pseudo_label_weights((1, 4, 4), 0, 0)
    with pytest.raises(ValueError, match=r'\(1, 4, 5\) does not fit labels \(1, 4, 4\)'):
        pseudo_label_weights((1, 4, 4), 1, 2, valid_mask=torch.ones(1, 4, 5))
