"""mmseg's visualizer without its slow part."""
import os
import os.path as osp
from typing import Any, Optional

import numpy as np
from mmengine.dist import is_main_process
from mmengine.visualization import LocalVisBackend, Visualizer
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmseg_dg.ops.frame import in_frame
from mmseg_dg.registry import VISUALIZERS


@VISUALIZERS.register_module()
class SegmentationVisualizer(SegLocalVisualizer):
    """Draws ground truth and prediction over the image, by default without class names on it.

    To place the names mmseg sorts all pixels of every class in Python: 8.7 s for one 1024x2048 pair
    of maps, 0.24 s without (measured on one CPU core).

    Args:
        with_labels: Write class names onto the maps.
        name: Name of the instance (mmengine keeps visualizers by name).
        **kwargs: Of :class:`mmseg.visualization.SegLocalVisualizer`.

    The evaluation loops write into the ``metainfo`` of a predicted sample which ``domain`` it is of
    (put before the file name of its picture, because images of two domains may have the same file
    name) and its ``picture``, the image's relative path without ending: pictures lie in the same
    folders as their images, so that equal file names do not overwrite each other.
    """
    def __init__(self, name: str = 'visualizer', *args: Any, with_labels: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.with_labels = with_labels
        self.save_dir = kwargs.get('save_dir')

    @classmethod
    def get_instance(cls, name: str, **kwargs: Any) -> 'SegmentationVisualizer':
        """The visualizer of this name, made at the first call. Another ``save_dir`` makes another
        one, unlike mmengine's: that of the next run in this process.
        """
        known = cls._instance_dict.get(name)  # mmengine's: the visualizers made so far, by name
        if known is not None and kwargs.get('save_dir') not in (None, known.save_dir):
            # forgotten by this class and by ``Visualizer``, where get_current_instance finds it
            for instances in (cls._instance_dict, Visualizer._instance_dict):
                instances.pop(name, None)
        return super().get_instance(name, **kwargs)

    def add_datasample(self, name: str, image: np.ndarray,
                       data_sample: Optional[SegDataSample] = None, draw_gt: bool = True,
                       draw_pred: bool = True, show: bool = False, wait_time: float = 0,
                       out_file: Optional[str] = None, step: int = 0,
                       with_labels: Optional[bool] = None) -> None:
        """Draw label and prediction over an image, with mmseg's arguments;
        ``with_labels=None`` means the visualizer's own setting. Main process only.
        """
        labels = self.with_labels if with_labels is None else with_labels
        # the maps may be in a frame that is not the image's own: the image is brought into it
        if data_sample is not None and 'ori_shape' in data_sample:
            image = in_frame(image, data_sample.ori_shape, data_sample.get('scale_factor'))
        super().add_datasample(self._picture_name(name, data_sample), image, data_sample, draw_gt,
                               draw_pred, show, wait_time, out_file, step, labels)

    def _picture_name(self, name: str, data_sample: Optional[SegDataSample]) -> str:
        """The name under which a picture is kept: ``night_val_1.png`` for ``name='val_1.png'`` in
        the domain ``night``, ``a/night_val_1.png`` for an image in the folder a (see the class).
        """
        metainfo = {} if data_sample is None else data_sample.metainfo
        domain = f'{metainfo["domain"]}_' if metainfo.get('domain') else ''
        return osp.join(osp.dirname(metainfo.get('picture', '')), domain + name)

    def add_image(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """Hand a picture to mmengine's backends; a name may have folders (``city/0001``),
        which are made. Main process only.
        """
        folder = osp.dirname(name)
        for backend in self._vis_backends.values() if folder and is_main_process() else ():
            if isinstance(backend, LocalVisBackend):
                # this property is read only because it makes the backend set up its folders, of
                # which ``_img_save_dir`` is that of pictures
                backend.experiment  # noqa: B018
                os.makedirs(osp.join(backend._img_save_dir, folder), exist_ok=True)
        super().add_image(name, image, step)
