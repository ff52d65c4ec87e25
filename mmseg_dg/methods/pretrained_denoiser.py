"""``init_cfg`` of a method that starts from a denoised decoder."""
from mmengine.model import BaseModel

from mmseg_dg.registry import WEIGHT_INITIALIZERS
from mmseg_dg.utils.modules import child
from mmseg_dg.weights.denoiser import load_denoiser


@WEIGHT_INITIALIZERS.register_module()
class PretrainedDenoiser:
    """Start a method's network from a DDeP checkpoint:
    ``model.init_cfg=dict(type='PretrainedDenoiser', ...)``.

    Encoder and decoder are loaded, the noise head is dropped, the segmentation head is fresh; the
    log says so. The control with a random decoder is the same config with ``init_cfg=None``: then
    the encoder comes from its own ``init_cfg``.

    Args:
        checkpoint: File of a DDeP training.
        encoder: Load the encoder as well; False keeps the one of ``network.backbone.init_cfg``.

    Raises:
        FileNotFoundError, ValueError: See :func:`mmseg_dg.weights.denoiser.load_denoiser`;
            ValueError also for the ``init_cfg`` of something else than a method.
    """
    def __init__(self, checkpoint: str, encoder: bool = True) -> None:
        self.checkpoint, self.encoder = checkpoint, encoder

    def __call__(self, module: BaseModel) -> None:
        """Fill the student of ``module``, a training method, from the checkpoint; ValueError for
        anything else.
        """
        # not for a segmentor: mmengine would initialize its parts again after this
        if child(module, 'student') is None:
            raise ValueError('PretrainedDenoiser is the init_cfg of a training method, not of '
                             f'{type(module).__name__}: set it as model.init_cfg, outside of '
                             'model.network')
        load_denoiser(module.student, self.checkpoint, self.encoder, module.data_preprocessor)
