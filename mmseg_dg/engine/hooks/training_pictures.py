"""Pictures of single training steps, every now and then."""
import logging
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from torch import nn

from mmseg_dg.ops import EncodedImages
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import method_of
from mmseg_dg.visualization.step_pictures import step_grid


@HOOKS.register_module()
class TrainingPicturesHook(Hook):
    """Draws the images, labels and masks of a training step through the run's visualizer.

    Before a step that is due it asks the method to keep a record (``model.keep_step_record =
    True``), afterwards it draws ``model.step_record`` (:func:`mmseg_dg.visualization.step_grid`)
    and lets it go. The first step is drawn, so that a wrong label folder is seen at once. Pictures
    are called ``training_<image>_<iteration>.png`` (with mmengine's LocalVisBackend they lie in
    ``vis_data/vis_image``).

    Args:
        interval: Iterations from picture to picture; 0 switches the hook off.
        max_images: Images of the batch that are drawn, one picture each.
        tile: Longest side of a tile in pixels.
        palette: RGB colour per class; the training dataset's by default.

    Only the main process draws. A step that cannot be drawn is logged as a warning and does not
    stop the training.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 1000, max_images: int = 2, tile: int = 320,
                 palette: Optional[Sequence[Sequence[int]]] = None) -> None:
        if interval < 0 or max_images < 1:
            raise ValueError('interval is 0 (off) or more and max_images at least 1, not '
                             f'{interval} and {max_images}')
        self.interval, self.max_images = interval, max_images
        self.tile, self.palette = tile, palette

    def _due(self, runner) -> bool:
        due = self.interval > 0 and runner.iter % self.interval == 0
        return due and is_main_process() and getattr(runner, 'visualizer', None) is not None

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        """Ask for a record of a step that is due."""
        if self._due(runner):
            method_of(runner).keep_step_record = True

    def after_train_iter(self, runner, batch_idx: int, data_batch: Any = None,
                         outputs: Optional[dict] = None) -> None:
        """Draw the record and drop it, so that its tensors are freed."""
        if not self._due(runner):
            return
        method = method_of(runner)
        record, method.keep_step_record = getattr(method, 'step_record', None), False
        method.step_record = None
        if record is not None and _without_pixels(record):
            self._warn('cached features have no pixels to draw (train_cfg.cached_features): no '
                       'pictures in this run')
            self.interval = 0
            return
        if record is None:
            self._warn(f'{type(method).__name__} kept no record of iteration {runner.iter + 1}')
            return
        try:
            self._draw(runner, method, record)
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
            self._warn(f'the pictures of iteration {runner.iter + 1} could not be drawn: {error!r}')

    def _draw(self, runner, method: nn.Module, record: Any) -> None:
        mean, std = _normalisation(method)
        palette = self.palette or runner.train_dataloader.dataset.metainfo.get('palette')
        if palette is None and getattr(method, 'labeled_streams', True):
            raise ValueError('neither the training dataset nor the hook has a palette')
        batch = record.batch if not isinstance(record, dict) else record['batch']
        size = max(len(entry['inputs']) for entry in batch.values())
        for index in range(min(self.max_images, size)):
            picture = step_grid(record, mean, std, palette or (), index, self.tile)
            runner.visualizer.add_image(f'training_{index}', picture, step=runner.iter + 1)

    @staticmethod
    def _warn(text: str) -> None:
        print_log(f'TrainingPicturesHook: {text}', logger='current', level=logging.WARNING)


def _without_pixels(record: Any) -> bool:
    batch = record.batch if not isinstance(record, dict) else record['batch']
    return any(
        isinstance(part.get('inputs'), EncodedImages) for part in batch.values()
        if isinstance(part, dict))


def _normalisation(method: nn.Module):
    """Mean and std of the preprocessor as lists of three; no normalisation gives 0 and 1."""
    preprocessor = getattr(method, 'data_preprocessor', None)
    mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
    if mean is None or std is None:
        return [0.0] * 3, [1.0] * 3
    return mean.flatten().tolist(), std.flatten().tolist()
