"""How well a denoising network denoises, as validation scores."""
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.evaluator import BaseMetric

from mmseg_dg.registry import METRICS

KEYS = ('PSNR', 'input_PSNR', 'noise_loss')


@METRICS.register_module()
class DenoisingMetric(BaseMetric):
    """Health of denoising pretraining on held-out images: the mean over images of the numbers that
    the method ``DDeP`` puts into the field ``denoising`` of each predicted sample, a dict with
    :data:`KEYS`.

    Scores: ``PSNR`` of the denoised and ``input_PSNR`` of the noisy images in dB (peak to peak 2),
    ``PSNR_gain`` their difference, ``noise_loss`` the training objective (1.0 for a network that
    predicts zero noise).

    Args:
        collect_device, prefix, collect_dir: Of :class:`mmengine.evaluator.BaseMetric`.
    """

    note = 'PSNR in dB, peak to peak 2; noise is a function of the image\'s name'

    def __init__(self, collect_device: str = 'cpu', prefix: Optional[str] = None,
                 collect_dir: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take the scores of each image.

        Args:
            data_batch: Not used.
            data_samples: Predicted samples as dicts, with ``denoising``.

        Raises:
            ValueError: The model is no denoising method.
        """
        for sample in data_samples:
            if 'denoising' not in sample:
                raise ValueError('DenoisingMetric scores the method DDeP only: predictions have '
                                 'no field "denoising"')
            self.results.append({key: float(sample['denoising'][key]) for key in KEYS})

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means over the images."""
        means = {key: sum(r[key] for r in results) / max(len(results), 1) for key in KEYS}
        means['PSNR_gain'] = means['PSNR'] - means['input_PSNR']
        return means
