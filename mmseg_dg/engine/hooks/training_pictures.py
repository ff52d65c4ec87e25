"""Pictures of single training steps, every now and then."""
import logging
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmseg_dg.methods.step_state import StepRecord
from mmseg_dg.models.data_preprocessor import normalization_of
from mmseg_dg.ops import EncodedImages
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import method_of
from mmseg_dg.visualization.step_pictures import step_grid

#: Under this name the hook asks for records of steps.
READER = 'TrainingPicturesHook'


@HOOKS.register_module()
class TrainingPicturesHook(Hook):
    """Draws the images, labels and masks of a training step through the run's visualizer.

    Before a step that is due it asks the method's recorder for a record, afterwards it draws it
    (:func:`mmseg_dg.visualization.step_grid`) and lets it go. The first step is drawn, so that a
    wrong label folder is seen at once. Pictures are called ``training_<image>_<iteration>.png``
    (with mmengine's LocalVisBackend they lie in ``vis_data/vis_image``).

    Args:
        interval: Iterations from picture to picture; 0 switches the hook off.
        max_images: Images of the batch that are drawn, one picture each.
        tile: Longest side of a tile in pixels.
        palette: RGB color per class; the training dataset's by default.

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

    def _due(self, runner: Runner) -> bool:
        """Whether this process draws the step of the present iteration."""
        due = self.interval > 0 and runner.iter % self.interval == 0
        return due and is_main_process() and runner.visualizer is not None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Ask for a record of a step that is due."""
        if self._due(runner):
            method_of(runner).recorder.request(READER)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Optional[dict] = None) -> None:
        """Draw the record and drop it, so that its tensors are freed."""
        if not self._due(runner):
            return
        method = method_of(runner)
        record = method.recorder.record  # of the step just taken; None if it was left out
        method.recorder.release(READER)
        # cached features: no later step has pixels either
        if record is not None and _without_pixels(record):
            self._warn('cached features have no pixels to draw (train_cfg.cached_features): no '
                       'pictures in this run')
            self.interval = 0  # switches the hook off
            return
        if record is None:
            self._warn(f'{type(method).__name__} kept no record of iteration {runner.iter + 1}')
            return
        try:
            self._draw(runner, method, record)
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
            self._warn(f'the pictures of iteration {runner.iter + 1} could not be drawn: {error!r}')

    def _draw(self, runner: Runner, method: nn.Module, record: StepRecord) -> None:
        """Add a grid of pictures of a step to the visualizer, for each of the first images of the
        batch.
        """
        mean, std = _normalization(method)
        palette = self.palette or runner.train_dataloader.dataset.metainfo.get('palette')
        if palette is None and method.labeled_streams:
            raise ValueError('neither the training dataset nor the hook has a palette')
        # images of the largest stream: where others have fewer, their tiles are left out
        size = max(len(entry['inputs']) for entry in record.batch.values())
        for index in range(min(self.max_images, size)):
            picture = step_grid(record, mean, std, palette or (), index, self.tile)
            runner.visualizer.add_image(f'training_{index}', picture, step=runner.iter + 1)

    @staticmethod
    def _warn(text: str) -> None:
        print_log(f'TrainingPicturesHook: {text}', logger='current', level=logging.WARNING)


def _without_pixels(record: StepRecord) -> bool:
    """Whether a stream of the step came as maps of its encoder (cached features)."""
    return any(isinstance(stream['inputs'], EncodedImages) for stream in record.batch.values())


def _normalization(method: BaseModel) -> tuple[list[float], list[float]]:
    """Mean and std of the preprocessor as lists of three; no normalization gives 0 and 1."""
    preprocessor = normalization_of(method.data_preprocessor)
    if preprocessor is None:
        return [0.0] * 3, [1.0] * 3
    # (3, 1, 1) -> three numbers
    return preprocessor.mean.flatten().tolist(), preprocessor.std.flatten().tolist()
