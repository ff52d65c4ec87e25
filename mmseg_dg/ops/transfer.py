"""Values of the host on a device."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def on_device(values: Tensor | Sequence[float], device: torch.device,
              dtype: torch.dtype | None = None) -> Tensor:
    """``values`` as a tensor on ``device``; the host does not wait for a GPU.

    A plain copy from ordinary memory ends only when the GPU has done all it was given before; one
    from pinned memory is one more task in its queue.

    Args:
        values: A tensor of any shape, wherever it lies, or numbers.
        device: Where they are needed.
        dtype: Of the result; None: as they are.

    Returns:
        The same shape; the tensor itself where it is on the device already.
    """
    values, device = torch.as_tensor(values, dtype=dtype), torch.device(device)
    if device.type != 'cuda' or values.device.type != 'cpu':
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
