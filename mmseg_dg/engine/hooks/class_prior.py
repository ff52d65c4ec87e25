"""Class frequencies of the labeled images, for networks that correct a class prior."""
from typing import Any, Optional

import torch
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmseg_dg.datasets.statistics.class_statistics import class_statistics
from mmseg_dg.models.segmentors.prior_adjustment import PriorAdjustment
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import method_of

from .run_checks import CheckingHook


@HOOKS.register_module()
class ClassPriorHook(CheckingHook):
    """Count the pixels of each class in the labeled stream before iteration 0 and give the counts
    to the model.

    Whole images are counted, ignored pixels left out: random crops of resized images show every
    class in the same proportion, border effects aside. A resumed run keeps what its checkpoint
    holds; one that starts from other weights (``load_from``) counts its own images. Every module
    that corrects a prior receives them (teachers too).

    Args:
        stream: Labeled stream; None: the method's first.
        cache_dir: See :func:`mmseg_dg.datasets.statistics.class_statistics.class_statistics`.

    Raises:
        ValueError: The model has no use for them, or the stream does not exist.
    """

    priority = 'VERY_HIGH'  # before the hook that makes a fresh teacher a copy of the student

    def __init__(self, stream: Optional[str] = None, cache_dir: Optional[str] = None) -> None:
        self.stream, self.cache_dir = stream, cache_dir

    def check_run(self, runner: Runner) -> None:
        """Refuse a model that has no use for the counts."""
        self._adjustments(method_of(runner))

    def _adjustments(self, method: Any) -> list:
        """The parts of a method that use a class prior; refuses (ValueError) a method without."""
        adjustments = [module for module in method.modules() if isinstance(module, PriorAdjustment)]
        if not adjustments:
            raise ValueError(f'ClassPriorHook: no part of {type(method).__name__} uses a class '
                             'prior: remove the hook, or train a MaskDiffusionEncoderDecoder')
        return adjustments

    def before_train(self, runner: Runner) -> None:
        """Count, unless a resumed checkpoint brought the counts."""
        method = method_of(runner)
        # networks whose prior is not known yet (``ready`` is a buffer, 1 once counts were set), or
        # is that of a ``load_from`` file: those of a new run are counted anew
        fresh = [
            module for module in self._adjustments(method)
            if runner.iter == 0 or not int(module.ready)
        ]
        if not fresh:
            return
        stream = self.stream or method.labeled_streams[0]
        loaders = runner.train_loop.dataloader
        if stream not in loaders.names:
            raise ValueError(f'ClassPriorHook: there is no stream {stream!r}, only {loaders.names}')
        statistics = class_statistics(loaders[stream].dataset, cache_dir=self.cache_dir)
        counts = torch.as_tensor(statistics.totals)
        for module in fresh:
            module.set_class_counts(counts.to(module.prior.device))
        shares = counts.double() / counts.sum().clamp(min=1)  # for the log; no pixel at all: zeros
        names = statistics.class_names or [str(i) for i in range(len(counts))]
        print_log(
            'class prior of stream "' + stream + '": ' + ', '.join(f'{n} {100 * float(s):.2f} %'
                                                                   for n, s in zip(names, shares)),
            logger='current')
