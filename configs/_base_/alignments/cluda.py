"""CLUDA's contrast of all pixels, behind the argument of PiXL's term
(docs/behavior/pixl.md#cludas-contrastive-term)."""
alignment = dict(
    type='PixelContrast',
    weight=1.0,  # item 6
    temperature=1.0,  # item 4
    resolution=65,  # item 3
    weight_channels=256,  # item 2: a head like that of HRDA's attention learns the pixels' weights
    first_class_outside=True,  # item 5: a side effect of its code
    keep_ignored=True)  # item 6: label 255 acts as a class
