"""Reading labels.

Shapes: H x W pixels.
"""
import cv2
import mmengine.fileio as fileio
import numpy as np
from mmcv import imfrombytes
from mmseg.datasets.transforms import LoadAnnotations as MMSegLoadAnnotations

from mmseg_dg.registry import TRANSFORMS

from ..image_header import MAX_PIXELS, read_header
from ..label_tables import apply_table, lookup_table


def refuse_huge(content: bytes, path: str) -> None:
    """Refuse, by its header, a label that would fill the memory: a PNG of 2.6 MB may hold
    30000x30000 pixels.

    Args:
        content: The file.
        path: For the message.

    Raises:
        ValueError: More than ``MAX_PIXELS``. (What is no image is left to the decoder, which says
            so.)
    """
    try:
        header = read_header(bytes(content))
    except (OSError, ValueError):
        return
    if header.pixels > MAX_PIXELS:
        raise ValueError(f'{path}: a label of {header.width}x{header.height} (width x height): '
                         f'{header.pixels} pixels, more than {MAX_PIXELS}. Cut image and label '
                         'into tiles')


@TRANSFORMS.register_module()
class LoadAnnotations(MMSegLoadAnnotations):
    """mmseg's label loader with the same result, arguments and name, but one table look-up instead
    of a pass per id.

    In scope ``mmseg_dg`` a bare ``LoadAnnotations`` is this one; ``mmseg.LoadAnnotations`` is the
    stock one.

    Needs ``seg_map_path`` (and ``label_map``, ``reduce_zero_label`` where the dataset sets them);
    adds ``gt_seg_map`` uint8 (H, W).

    Raises:
        ValueError: The file is not one 8-bit id per pixel, or its size is not that of the image
            (``ori_shape``).
    """
    def _load_seg_map(self, results: dict) -> None:
        """Read the label into ``gt_seg_map``, uint8 (H, W), with mapped ids; refuses (ValueError)
        one that is not of its image's size. Overrides the step that mmseg's ``transform`` calls.
        """
        label = self._mapped(self._read_ids(results), results)
        size = results.get('ori_shape')
        if size is not None and tuple(size[:2]) != label.shape:
            raise ValueError(f'{results["seg_map_path"]}: the label has '
                             f'{label.shape[0]}x{label.shape[1]} pixels (height x width), its '
                             f'image {results.get("img_path", "")} has {size[0]}x{size[1]}; leave '
                             'the pair out with a list (ann_file) or repair it')
        results['gt_seg_map'] = label
        results.setdefault('seg_fields', []).append('gt_seg_map')

    def _read_ids(self, results: dict) -> np.ndarray:
        """The label file's ids, uint8 (H, W); refuses (ValueError) what holds none."""
        path = results['seg_map_path']
        content = fileio.get(path, backend_args=self.backend_args)
        refuse_huge(content, path)
        try:
            label = without_channel(
                imfrombytes(content, flag='unchanged', backend=self.imdecode_backend))
        # what PIL raises for no image or a damaged one; OpenCV gives None: AttributeError here
        except (OSError, SyntaxError, AttributeError) as error:
            raise ValueError(f'{path}: cannot be read as an image; the file may be cut off '
                             f'({error})') from error
        if label.ndim != 2:
            raise ValueError(f'{path}: expected one id per pixel, got shape {label.shape}; a '
                             'color picture of the labels must be converted to ids first')
        if label.dtype != np.uint8:
            if label.dtype == bool:  # images of one bit
                return label.astype(np.uint8)
            low, high = int(label.min()), int(label.max())
            if low < 0 or high > 255:
                raise ValueError(f'{path}: ids {low}..{high} do not fit 8 bits; convert the labels '
                                 'first')
        return label.astype(np.uint8)

    def _mapped(self, label: np.ndarray, results: dict) -> np.ndarray:
        """The label (uint8, (H, W)) with ``reduce_zero_label`` and then ``label_map`` applied, both
        as the dataset put them into ``results``; an own ``reduce_zero_label`` comes first.
        """
        label_map = results.get('label_map')
        # the stock loader keeps the first sample's value for all; here None asks every sample
        reduce_zero = self.reduce_zero_label
        if reduce_zero is None:
            reduce_zero = results.get('reduce_zero_label', False)
        if label_map is None and not reduce_zero:
            return label
        return apply_table(label, lookup_table(label_map, reduce_zero))


def without_channel(label: np.ndarray) -> np.ndarray:
    """A decoded label without its axis of one channel, last (H, W, 1) or first (1, H, W).

    Two axes are height and width, even where one of them is 1; of more channels nothing is taken
    away. Returns (H, W), or what was given.
    """
    if label.ndim == 3 and 1 in (label.shape[0], label.shape[2]):
        return label[..., 0] if label.shape[2] == 1 else label[0]
    return label


@TRANSFORMS.register_module()
class LoadSynthiaAnnotations(LoadAnnotations):
    """Reads both kinds of SYNTHIA labels.

    ``SynthiaDataset(raw_ids=True)``: the published PNG, 16 bits, 3 channels; the class id is in the
    last channel OpenCV gives (the second is an instance number) and goes through ``label_map`` as
    usual. Otherwise converted 8-bit ``*_labelTrainIds.png``, as :class:`LoadAnnotations` reads
    them.

    Raises:
        ValueError: The file is of the other kind, cannot be read, or its ids do not fit 8 bits.
    """
    def _read_ids(self, results: dict) -> np.ndarray:
        """The label file's ids, uint8 (H, W); refuses (ValueError) what holds none. The entry
        ``raw_ids`` of the sample, set by :class:`TrainIdDataset`, says which kind of file it is.
        """
        if not results.get('raw_ids', False):
            return super()._read_ids(results)
        path = results['seg_map_path']
        content = fileio.get(path, backend_args=self.backend_args)
        refuse_huge(content, path)
        label = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if label is None or label.ndim != 3:
            got = 'no readable image' if label is None else f'shape {label.shape}'
            raise ValueError(f'{path}: expected a 3-channel label file of SYNTHIA, got {got}; '
                             'converted *_labelTrainIds.png need raw_ids=False')
        # OpenCV's last channel has the class ids, the second instance numbers
        ids = label[..., -1]
        if ids.max(initial=0) > 255:
            raise ValueError(f'{path}: class id {ids.max()} in the last channel; this is not a '
                             'SYNTHIA label')
        return ids.astype(np.uint8)
