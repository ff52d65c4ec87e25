"""The ops together: the mixing half of recorded official training steps, from their draws."""
import pytest
import torch
import torch.nn.functional as F
from recorded import load_small

from mmseg_dg.ops import (
    JitterParams,
    class_mask,
    class_membership,
    color_jitter,
    denormalize,
    downscale_labels,
    gaussian_blur,
    mix,
    normalize,
    pseudo_labels,
)

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pytest.fixture(scope='module', params=['daformer_tiny', 'hrda_tiny', pytest.param('full', marks=pytest.mark.ci)])
def record(request):
    if request.param == 'full':
        return torch.load(request.getfixturevalue('shared') / 'golden' / 'trainstep_daformer_nodrop.pt')
    record = load_small(f'{request.param}_step.pt')
    for step in record['steps']:
        step['batch'] = {k: v.float() if v.is_floating_point() else v for k, v in step['batch'].items()}
    return record


def drawn(step, kind):
    return [draw for draw in step['draws'] if draw['kind'] == kind]


def recorded_jitter(draw):
    factors = {name: draw[f'{name}_factor'].item() for name in ('brightness', 'contrast', 'hue', 'saturation')}
    return JitterParams(**factors, order=tuple(draw['order'].tolist()))


@pytest.mark.claim('DAFormer')
@pytest.mark.claim('HRDA')
def test_pseudo_labels_from_the_teacher_logits(record):
    uda = record['cfg']['uda']
    for step in (s for s in record['steps'] if 'ema_head_logits' in s):
        size = step['pseudo_label'].shape[-2:]
        logits = F.interpolate(step['ema_head_logits'], size, mode='bilinear', align_corners=False)
        labels, weights = pseudo_labels(logits, uda['pseudo_threshold'], uda['pseudo_weight_ignore_top'],
                                        uda['pseudo_weight_ignore_bottom'], step['batch'].get('valid_pseudo_mask'))
        # Rounding of the interpolation may turn a tie; one pixel in ten thousand would already be an error here.
        assert (labels != step['pseudo_label']).float().mean() < 1e-4
        torch.testing.assert_close(weights, step['pseudo_weight'], rtol=0, atol=1e-4)
        assert torch.equal(weights > 0, step['pseudo_weight'] > 0)


@pytest.mark.claim('DAFormer')
@pytest.mark.claim('HRDA')
def test_mixed_images_labels_and_weights(record):
    for step in record['steps']:
        labels = step['batch']['gt_semantic_seg'].long()
        candidates = labels.unique()
        scalars = [draw['value'] for draw in drawn(step, 'random.uniform')]
        jitters, sigmas = drawn(step, 'kornia.ColorJitter'), drawn(step, 'np.random.uniform')
        for i, choice in enumerate(drawn(step, 'np.random.choice')):
            mask = class_mask(labels[i, 0], candidates[choice['value']])
            if 'mix_masks' in step:
                assert torch.equal(mask, step['mix_masks'][i, 0].bool())
            label = mix(mask, labels[i, 0], step['pseudo_label'][i].long())  # stored as uint8
            assert torch.equal(label, step['mixed_lbl'][i, 0].long())
            weight = step['pseudo_weight'][i]
            if 'mixed_weight' in step:
                assert torch.equal(mix(mask, torch.ones_like(weight), weight), step['mixed_weight'][i])
            if 'mixed_img' not in step:
                continue
            image = mix(mask, step['batch']['img'][i], step['batch']['target_img'][i]).unsqueeze(0)
            if scalars[0] > 0.2:
                jittered = color_jitter(denormalize(image, MEAN, STD), recorded_jitter(jitters[i]))
                image = normalize(jittered, MEAN, STD)
            if scalars[1] > 0.5:
                image = gaussian_blur(image, sigmas[i]['value'])
            torch.testing.assert_close(image[0], step['mixed_img'][i], rtol=0, atol=2e-5)


@pytest.mark.claim('DAFormer')
@pytest.mark.claim('HRDA')
def test_distance_masks(record):
    uda = record['cfg']['uda']
    for step in record['steps']:
        labels = step['batch']['gt_semantic_seg'].long().squeeze(1)
        factor = labels.shape[-1] // step['src_feat_last'].shape[-1]
        cells = downscale_labels(labels, factor, uda['imnet_feature_dist_scale_min_ratio'], 19)
        assert torch.equal(cells, step['fd_gt_rescaled'][:, 0])
        mask = class_membership(cells, uda['imnet_feature_dist_classes'])
        assert torch.equal(mask, step['fd_mask'][:, 0])
