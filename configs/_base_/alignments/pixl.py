"""PiXL's alignment term. Only eta is the paper's own number; the rest is reconstruction (PiXL specification).

Any method that takes ``alignment`` gets it by one line beside its other parts:
``model = dict(alignment=_base_.pop('alignment'))``. Letters and numbers below are sections of that specification.
"""
alignment = dict(
    type='PixelAlignment',
    eta=(0.2, 0.001),  # card: 0.2 at first, linearly to 0.001
    eta_meaning='drift_fraction',  # (b) 2
    partition='entropy',  # (a) 3, (b) 1
    prototypes='pair',  # (a) 5: of two images; which two: (b) 3
    selection='entropy',  # (c)
    pair='joint',  # both passes' graphs at once (our choice); 'recompute': the same gradients, one graph
    temperature=0.1,  # (c)
    weight=0.1,  # (c)
    min_pixels=1,  # (c)
    start=0)  # (c)
# (c): no resolution: the decoder's own maps; resolution=65 resizes them. No projection; projection=dict(channels=256)
# puts one before the term
