"""Makes ``mmpretrain.*`` types usable in a config.

Name this module in the config and give mmpretrain's parts with their scope::

    custom_imports = dict(imports=['mmseg_dg', 'mmseg_dg.mmpretrain'], allow_failed_imports=False)
    model = dict(network=dict(backbone=dict(type='mmpretrain.ConvNeXt', arch='tiny', out_indices=[0,
                                             1, 2, 3], init_cfg=dict(type='Pretrained',
                                             checkpoint='pretrained/...'))))

Backbones, necks, datasets and transforms of mmpretrain can then be built. mmpretrain needs
torchvision, also beside a CPU-only torch (see :func:`mmseg_dg.compat.ensure_torchvision`); nothing
else in this package does.

Raises:
    ImportError: mmpretrain or torchvision is not installed; the message has the pip command.
"""
import importlib.util

from mmseg_dg.compat import ensure_torchvision, uses_forks

if importlib.util.find_spec('mmpretrain') is None:
    _need = 'onedl-mmpretrain>=1.3.6,<1.4' if uses_forks() else 'mmpretrain>=1.2.0,<1.3.0'
    raise ImportError(f'mmpretrain.* types need mmpretrain: pip install "{_need}" torchvision')
ensure_torchvision()

import mmpretrain.datasets  # noqa: E402,F401
import mmpretrain.models  # noqa: E402,F401
