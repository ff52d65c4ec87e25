"""Under which terms pretrained encoders are given away: a trained network inherits them from
where it started."""
import re
from pathlib import Path
from typing import Any, Optional

from mmseg_dg.weights.files import entry_of, requested_files
from mmseg_dg.weights.shipped import PREFIX, card

#: Beginning of a name in ``configs/_base_/weights.py`` -> license of the files that its ``source``
#: names.
LICENSES = (
    ('mit_b',
     'NVIDIA Source Code License for SegFormer: research and evaluation only, not for commercial '
     'use'),
    ('resnet50_deepstem', 'unknown: the files come without a license of their own (code: MIT)'),
    ('resnet101_deepstem', 'unknown: the files come without a license of their own (code: MIT)'),
    ('resnest', 'Apache-2.0'),
    ('resnet50_v1c', 'Apache-2.0'),
    ('resnet101_v1c', 'Apache-2.0'),
    ('resnet', 'BSD-3-Clause (torchvision)'),
    ('mobilenet_v2', 'Apache-2.0'),
    ('r50_vit', 'Apache-2.0'),
    ('vit_b16', 'Apache-2.0'),
)
NONE = 'none: trained from random weights'
UNKNOWN = ('unknown: {file} is no file that this package knows; its license is that of where it '
           'came from')
NOTE = 'as its publishers state it; the images it was trained on (ImageNet) have terms of their own'


def encoder_license(cfg: Any) -> dict[str, str]:
    """The license of the weights that the encoder of a config starts from.

    Args:
        cfg: Config of a run; its ``load_from`` counts where it names weights of this package.

    Returns:
        ``dict(file=..., license=..., note=...)``; ``file`` is ``''`` for random weights.
    """
    loaded = cfg.get('load_from')
    file = loaded if str(loaded or '').startswith(PREFIX) else _encoder_file(cfg.get('model') or {})
    if file is None:
        return dict(file='', license=NONE, note='')
    if file.startswith(PREFIX):
        known = card(file)
        return dict(file=file, license=known['encoder_license'],
                    note=known.get('encoder_origin', ''))
    return dict(file=Path(file).name, license=license_of(file)
                or UNKNOWN.format(file=Path(file).name), note=NOTE)


def license_of(file: str) -> Optional[str]:
    """License of a file by its name, in the table of weights or as publishers name it; None for one
    that is not known.
    """
    name = entry_of(file) or _by_shape(Path(file).name)
    return next((text for start, text in LICENSES if name and name.startswith(start)), None)


def _by_shape(name: str) -> Optional[str]:
    """Beginning of a name in ``LICENSES`` for a file under its publisher's name, such as
    ``mit_b5_20220624-658746d9.pth`` -> ``mit_b5``; None for a name of another form.
    """
    # ResNets of torchvision are ``resnet50-0676ba61.pth``: a hyphen after the depth
    match = re.match(r'(mit_b\d|resnest\d+|resnet\d+_v1c|resnet\d+(?=-)|mobilenet_v2)', name)
    return match.group(1) if match else None


def _encoder_file(model: Any) -> Optional[str]:
    """The first pretrained file that a model config names for its encoder; None without one."""
    # dotted keys such as model.network.backbone.init_cfg; an older config of mmseg has
    # ``pretrained`` beside the backbone
    files = [
        path for key, path in requested_files(model)
        if 'backbone' in key or key.endswith('.pretrained')
    ]
    return files[0] if files else None
