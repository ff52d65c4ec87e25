"""What a sampler asks a dataset for."""
from typing import NamedTuple, Optional


class SampleRequest(NamedTuple):
    """One sample to load; understood by :class:`mmseg_dg.datasets.SeededDataset` only.

    Attributes:
        index: Position in the dataset.
        seed: Seeds everything random in the sample's pipeline, in [0, 2**31).
        wanted_class: Class index the crop should show (rare class sampling), or None.
        wanted_point: (row, column) in the label as loaded that the crop should hold (class-uniform
            sampling), or None.
    """
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    seed: int
    wanted_class: Optional[int] = None
    wanted_point: Optional[tuple[int, int]] = None
