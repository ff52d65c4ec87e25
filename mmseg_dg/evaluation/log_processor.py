"""Keeps the log readable when an evaluation returns dozens of numbers."""
import re

from mmengine.runner import LogProcessor, Runner

from mmseg_dg.registry import LOG_PROCESSORS

#: An entry such as ``cityscapes/IoU.traffic light: 71.2034  ``, as mmengine's LogProcessor writes.
_PER_CLASS = re.compile(r'[^\s/]+(?:/[^\s/]+)*/(?:IoU|Acc|Share)\.[^:]+: \S+(?:\s+|$)')


@LOG_PROCESSORS.register_module()
class DomainLogProcessor(LogProcessor):
    """mmengine's LogProcessor whose line after an evaluation leaves out the numbers of single
    classes.

    They are in the table the loop prints, in its CSV file and in ``vis_data/scalars.json`` as
    before. Arguments are those of :class:`mmengine.runner.LogProcessor`.
    """
    def get_log_after_epoch(self, runner: Runner, batch_idx: int, mode: str,
                            with_non_scalar: bool = False) -> tuple[dict, str]:
        """The numbers of a validation or test, and the line of the log: the dict is complete, as
        the base class gives it; only the text is shorter.
        """
        tag, text = super().get_log_after_epoch(runner, batch_idx, mode, with_non_scalar)
        return tag, _PER_CLASS.sub('', text).rstrip()
