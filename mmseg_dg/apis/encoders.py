"""Encoders by a short name: what to set in a config, and whether their weights are there."""
from pathlib import Path
from typing import Any, Union

from mmseg_dg.weights.files import check_file, entry_of, weights_table

#: The encoder that ships with the package.
SHIPPED = 'mobilenetv2'
#: Channels of the four maps of a Mix Transformer: of the smallest one, and of all others.
_MIT_CHANNELS = {'mit_b0': [32, 64, 160, 256]}
_MIT_WIDE = [64, 128, 320, 512]


def encoder_settings(encoder: Union[str, Path, None]) -> dict[str, Any]:
    """Dotted settings of a config for an encoder.

    Args:
        encoder: None or ``'mobilenetv2'``: that of the package, which the small recipes have.
            ``'mit_b0'`` to ``'mit_b5'``, or the path of such a file.

    Returns:
        Architecture and weights of the backbone, and the channels that the decode head reads; {}
        for the encoder of the package.

    Raises:
        ValueError: Another encoder.
        FileNotFoundError: Its file is not there; the message says how to get it.
    """
    if is_shipped(encoder):
        return {}
    text = str(encoder)
    # name in the table of weights, also of a file that is called as the table says
    name = text if text in weights_table() else entry_of(text)
    if name is None or not name.startswith('mit_b'):
        raise ValueError(
            f'encoder={text!r}: there are {SHIPPED} (it ships with the package) and mit_b0 to '
            'mit_b5, by '
            'name or as a file of that name; any other is set in a config (docs/custom_data.md)')
    file = weights_table()[name]['file'] if text == name else text
    check_file(file, f'encoder={text!r}')
    where = 'model.network.backbone.'
    return {
        f'{where}arch': name[len('mit_'):],
        f'{where}init_cfg.checkpoint': str(Path(file).absolute()),
        'model.network.decode_head.in_channels': _MIT_CHANNELS.get(name, _MIT_WIDE)
    }


def is_shipped(encoder: Union[str, Path, None]) -> bool:
    """Whether an encoder is the one of the package."""
    return encoder is None or str(encoder) == SHIPPED
