"""First convolutions for images of more than three channels, from files made for three."""
import torch
from torch import Tensor

EXTRA_CHANNELS = ('zeros', 'mean')


def adapt_input_filters(weight: Tensor, channels: int, how: str = 'zeros') -> Tensor:
    """Filters for ``channels`` channels from filters for fewer.

    * ``'zeros'``: the filters of the further channels start at zero. The network starts as the
      pretrained function of the first channels, and learns what the others are good for.
    * ``'mean'``: each further filter is the mean of those of the file, and all are scaled by
      ``file_channels / channels``, which keeps the size of the response where the channels look
      alike.

    Both rules are ours: no paper states one.

    Args:
        weight: (out, file_channels, k, k), of a file: red, green and blue.
        channels: Of the network; the first ``file_channels`` of them are those of the file.
        how: One of ``EXTRA_CHANNELS``.

    Returns:
        (out, channels, k, k), same type.

    Raises:
        ValueError: Fewer channels than the filters have, or an unknown ``how``.
    """
    file_channels = weight.shape[1]
    if channels < file_channels:
        raise ValueError(
            f'in_channels={channels}, but the filters of the file read {file_channels}: give the '
            f'images {file_channels} channels (gray ones are repeated by LoadImageFromFile)')
    if how not in EXTRA_CHANNELS:
        raise ValueError(f'extra_channels={how!r}: use one of {EXTRA_CHANNELS}')
    if how == 'zeros':
        further = weight.new_zeros(weight.shape[0], channels - file_channels, *weight.shape[2:])
        return torch.cat([weight, further], dim=1)
    # how == 'mean': one mean filter (out, 1, k, k), repeated for all further channels
    further = weight.mean(1, keepdim=True).expand(-1, channels - file_channels, -1, -1)
    return torch.cat([weight, further], dim=1) * (file_channels / channels)
