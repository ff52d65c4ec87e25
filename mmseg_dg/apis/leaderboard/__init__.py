"""Methods side by side on one benchmark: equal budgets, controls, several seeds, and what may be
said of them."""
from .board import Leaderboard
from .suite import Arm, Suite
from .suite_file import read_suite

__all__ = ['Arm', 'Leaderboard', 'Suite', 'read_suite']
