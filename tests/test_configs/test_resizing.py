"""Who resizes with what: each system as the published code it follows."""
import pytest

from .catalog import folder_of, load, walk

#: Transforms that change the size of images.
KINDS = {'RandomRescale', 'Resize', 'ResizeToHeight', 'RandomResize'}


def backends(loaders) -> set:
    """Backends of all resizing steps below a config's loaders."""
    return {node.get('backend', 'cv2') for _, node in walk(dict(loaders=loaders))
            if isinstance(node, dict) and node.get('type') in KINDS}


def resizes_as_the_published_code(name, cfg):
    """Pillow: DeFT (RobustNet's code), the UniMatch family, and DDeP's pretraining, as torchvision's ``Resize`` of a
    PIL image; Mapillary's frame of 1536 rows as well. OpenCV: the DAFormer family, whose code is mmseg's."""
    train, val = backends(cfg.train_dataloader), backends(cfg.val_dataloader)
    folder = folder_of(name)
    if folder in ('deft', 'diffmatch'):
        assert train == {'pillow'} and val <= {'pillow'} and backends(cfg.test_dataloader) <= {'pillow'}
        if 'mapillary' in cfg.test_dataloader:
            assert backends(cfg.test_dataloader.mapillary) == {'pillow'}
    elif cfg.model.type == 'DDeP' and folder == 'ddep':
        assert train == val == {'pillow'}
    elif folder in ('daformer', 'hrda', 'pixl'):
        assert train | val <= {'cv2'}


def test_another_backend_is_found():
    cfg = load('daformer_mitb5_gta2cityscapes')
    next(step for step in cfg.train_dataloader.source.dataset.pipeline if step.type in KINDS).backend = 'pillow'
    with pytest.raises(AssertionError):
        resizes_as_the_published_code('daformer_mitb5_gta2cityscapes', cfg)
