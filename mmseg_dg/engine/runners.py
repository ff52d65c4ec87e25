"""Thin runners that check stream names and install this package's loops and model wrapper."""
from typing import Any, Optional

from mmengine.runner import Runner
from torch import nn

from mmseg_dg.registry import RUNNERS

from . import distributed  # noqa: F401  registers the wrapper in mmengine's root registry


class _StreamRunner(Runner):
    """Common part: named streams, our loops by default, one gradient synchronization per step."""

    #: Streams a run of this kind has, in the order of the documentation.
    streams: tuple[str, ...] = ()
    #: Streams that a config may have besides.
    optional_streams: tuple[str, ...] = ()

    def __init__(self, model: Any, work_dir: str, train_dataloader: Any = None,
                 train_cfg: Any = None, val_cfg: Any = None, test_cfg: Any = None,
                 **kwargs: Any) -> None:
        train_cfg = _with_type(train_cfg, 'MultiStreamTrainLoop')
        # a loop that reports all problems at once checks the names of streams itself
        if isinstance(train_dataloader, dict) and not _reports_all(train_cfg):
            self.check_streams(train_dataloader)
        super().__init__(model, work_dir, train_dataloader=train_dataloader, train_cfg=train_cfg,
                         val_cfg=_with_type(val_cfg, 'MultiDomainValLoop'),
                         test_cfg=_with_type(test_cfg, 'MultiDomainTestLoop'), **kwargs)

    def wrap_model(self, model_wrapper_cfg: Optional[dict], model: nn.Module) -> nn.Module:
        """Wrap the model as mmengine does, but with :class:`MethodDistributedWrapper` where it
        would take torch's DDP.
        """
        if model_wrapper_cfg is None and self.distributed:
            model_wrapper_cfg = dict(type='MethodDistributedWrapper')
        return super().wrap_model(model_wrapper_cfg, model)

    def check_streams(self, dataloader: dict) -> None:
        """Refuse (ValueError) other streams than this kind of run has. ``MultiStreamTrainLoop``
        calls this itself, so that its one report has this problem among all others.
        """
        names = tuple(k for k, v in dataloader.items() if v is not None)  # None: switched off
        unknown = [n for n in names if n not in self.streams + self.optional_streams]
        missing = [n for n in self.streams if n not in names]
        # a key "dataset": one plain dataloader, without names of streams
        if 'dataset' in dataloader or unknown or missing:
            raise ValueError(f'{type(self).__name__} trains on the streams {self.streams}, but '
                             f'train_dataloader has the keys {names}: missing {missing or "none"}, '
                             f'unknown {unknown or "none"}')


def _reports_all(train_cfg: Any) -> bool:
    """Whether the loop asks for :meth:`_StreamRunner.check_streams` itself."""
    return isinstance(train_cfg, dict) and train_cfg.get('type') == 'MultiStreamTrainLoop'


def _with_type(cfg: Any, default: str) -> Any:
    """A loop's config with the loop ``default`` as its type, unless it names one; what is no dict
    (None, a built loop) as it is.
    """
    return dict(dict(type=default), **cfg) if isinstance(cfg, dict) else cfg


@RUNNERS.register_module()
class UDARunner(_StreamRunner):
    """Adaptation: ``source`` (labeled) and ``target`` (unlabeled); ``target_labeled`` with a few
    target labels.
    """
    streams = ('source', 'target')
    optional_streams = ('target_labeled', )


@RUNNERS.register_module()
class SemiSupervisedRunner(_StreamRunner):
    """Semi-supervised training: streams ``labeled`` and ``unlabeled``; CutMix reads
    ``unlabeled_mix`` besides.
    """
    streams = ('labeled', 'unlabeled')
    optional_streams = ('unlabeled_mix', )
