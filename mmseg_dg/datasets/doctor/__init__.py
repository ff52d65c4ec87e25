"""Examines the data of a config before a training does: every file, every pair, every stream
against the others.
"""
from .examination import examine
from .faults import KINDS, Finding
from .report import Report, write_fixed_lists

__all__ = ['KINDS', 'Finding', 'Report', 'examine', 'write_fixed_lists']
