"""PiXL's alignment term. Only eta is the paper's own number; the rest is reconstruction
(docs/behavior/pixl.md#confirmed-inferred-unconfirmed).

Any method that takes ``alignment`` gets it by one line beside its other parts:
``model = dict(alignment=_base_.pop('alignment'))``. "Inferred" and "ours" below: the tables of that
page.
"""
alignment = dict(
    type='PixelAlignment',
    eta=(0.2, 0.001),  # paper: 0.2 at first, linearly to 0.001
    eta_meaning='drift_fraction',  # inferred
    partition='entropy',  # by entropy and per image: the paper; of the softmax: inferred
    prototypes='pair',  # the paper: of two images; which two: inferred
    selection='entropy',  # unconfirmed
    pair='joint',  # both passes' graphs at once (our choice); 'recompute': the same gradients, one graph
    temperature=0.1,  # ours
    weight=0.1,  # ours
    min_pixels=1,  # ours
    start=0)  # ours
# Ours, too. No resolution: the decoder's own maps; resolution=65 resizes them. No projection;
# projection=dict(channels=256) puts one before the term
