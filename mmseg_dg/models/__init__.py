"""Networks: image -> maps. Backbones, necks, decode heads, segmentors, losses."""
from . import backbones, data_preprocessor, decode_heads, losses, necks, segmentors  # noqa: F401
