"""The released scripts' protocol: as ``dg_cityscapes.py``, but Mapillary's padding is labeled 0, which is road.

While training only the source is validated, once per epoch (``schedules/deft_cityscapes_released.py``): the best of
these checkpoints is the one that is tested.
"""
_base_ = './dg_cityscapes.py'
__note = 'height 1536, cut or filled to 1536x1536, padding labeled as class 0 (road), as in the released code'
protocols = dict(mapillary=dict(note=__note))
