"""Who resizes with what: each system as the published code it follows."""
import pytest

from .catalog import LEAVES, load, walk

#: Transforms that change the size of images.
KINDS = {'RandomRescale', 'Resize', 'ResizeToHeight', 'RandomResize'}


def backends(loaders) -> set:
    """Backends of all resizing steps below a config's loaders."""
    return {node.get('backend', 'cv2') for _, node in walk(dict(loaders=loaders))
            if isinstance(node, dict) and node.get('type') in KINDS}


def names(*folders):
    return sorted(n for n, p in LEAVES.items() if p.parent.name in folders)


#: One config per method and file of ``_base_/datasets``; the others differ from them in lists and networks.
SEMI = [f'{method}_r50_{part}' for method in ('supervised_only', 'fixmatch', 'unimatch', 'diffmatch')
        for part in ('voc_classic_183', 'voc_blender_1_8', 'voc_blender_u2pl_1_8', 'cityscapes_1_8', 'coco_1_128')]


@pytest.mark.parametrize('name', names('deft') + SEMI)
def test_deft_and_the_unimatch_family_resize_with_pillow(name):
    """RobustNet's code (DeFT) and UniMatch's read images with PIL: training, and Mapillary's frame of 1536 rows."""
    cfg = load(name)
    assert backends(cfg.train_dataloader) == {'pillow'}
    assert backends(cfg.val_dataloader) <= {'pillow'} and backends(cfg.test_dataloader) <= {'pillow'}
    if 'mapillary' in cfg.test_dataloader:
        assert backends(cfg.test_dataloader.mapillary) == {'pillow'}


@pytest.mark.parametrize('name', [n for n in names('ddep') if load(n).model.type == 'DDeP'])
def test_denoising_pretraining_resizes_with_pillow(name):
    """As torchvision's ``Resize`` of a PIL image."""
    cfg = load(name)
    assert backends(cfg.train_dataloader) == backends(cfg.val_dataloader) == {'pillow'}


@pytest.mark.parametrize('name', names('daformer', 'hrda', 'pixl'))
def test_the_daformer_family_resizes_with_opencv(name):
    """Their code is mmseg's, which reads and resizes with OpenCV."""
    cfg = load(name)
    assert backends(cfg.train_dataloader) | backends(cfg.val_dataloader) <= {'cv2'}
