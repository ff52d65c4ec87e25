"""Judged on domains that training never sees; the source's own validation (Cityscapes val) is listed apart.

See ``dg_gta.py``.
"""
_base_ = '../default_runtime.py'
default_hooks = dict(checkpoint=dict(interval=8000, save_best='cityscapes/mIoU'))
protocols = dict(
    bdd100k=dict(role='target', note='whole images at 1280x720'),
    mapillary=dict(role='target', note='height 1536, cut or filled to 1536x1536, padding not scored'),
    gta=dict(role='target', note='whole images'),
    synthia=dict(role='target', note='whole images, our own random split'),
    cityscapes=dict(role='source', note='whole images at 2048x1024'))
