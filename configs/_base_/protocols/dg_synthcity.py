"""The small real benchmark of generalization: trained on rendered scenes by day only; see ``dg_gta.py``."""
_base_ = '../default_runtime.py'
default_hooks = dict(checkpoint=dict(interval=500, save_best='synthcity/mIoU'))
__real = 'real video, no frame of it was trained on'
__shifted = 'rendered, the same city in other weather or light'
protocols = dict(
    camvid_day=dict(role='target', note=__real),
    camvid_dusk=dict(role='target', note=__real),
    synthcity_night=dict(role='target', note=__shifted),
    synthcity_fog=dict(role='target', note=__shifted),
    synthcity_rain=dict(role='target', note=__shifted),
    synthcity=dict(role='source', note='rendered, other streets than in training'))
