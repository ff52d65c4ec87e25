"""What a user calls from Python."""
from .inference import adapt, build_runner, load_model, predict

__all__ = ['adapt', 'build_runner', 'load_model', 'predict']
