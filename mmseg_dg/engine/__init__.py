"""Loops, hooks, optimization and distribution of a run."""
from .distributed import MethodDistributedWrapper
from .hooks import *  # noqa: F401,F403
from .loops import *  # noqa: F401,F403
from .optim import *  # noqa: F401,F403
from .runners import SemiSupervisedRunner, UDARunner

__all__ = ['MethodDistributedWrapper', 'SemiSupervisedRunner', 'UDARunner']
