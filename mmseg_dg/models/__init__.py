"""Networks (backbones, necks, decode_heads, segmentors) and training methods."""
from . import backbones, data_preprocessor, decode_heads, losses, methods, necks, segmentors, teacher  # noqa: F401
