"""Means over images of what DDeP attaches to each."""
import pytest

from mmseg_dg.evaluation import DenoisingMetric


def sample(psnr, noisy, loss):
    return dict(denoising=dict(PSNR=psnr, input_PSNR=noisy, noise_loss=loss))


def test_means_over_images():
    metric = DenoisingMetric()
    metric.process(None, [sample(22., 19., 0.5)])
    metric.process(None, [sample(25., 19.5, 0.3), sample(28., 20., 0.1)])
    scores = metric.evaluate(3)
    assert scores == pytest.approx(dict(PSNR=25., input_PSNR=19.5, noise_loss=0.3, PSNR_gain=5.5))


def test_other_methods_are_refused():
    with pytest.raises(ValueError, match='DDeP only'):
        DenoisingMetric().process(None, [dict(pred_sem_seg=0)])
