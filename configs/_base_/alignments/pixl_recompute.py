"""PiXL's alignment term with one graph alive: for networks whose graph of one pass fills a GPU (HRDA).

The gradients of pair='joint', for one more forward pass of the mixed images (docs/pixl.md, "Cost").
"""
_base_ = './pixl.py'
alignment = dict(pair='recompute')
