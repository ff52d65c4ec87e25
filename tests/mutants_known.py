"""Mutants that tests/mutants.py lists as surviving: those that cannot change behavior, and those that are left.

Keys are those the tool prints; a key whose line has changed is simply drawn no more.
"""
#: Nothing a caller could see changes.
EQUIVALENT: dict[str, str] = {
    'mmseg_dg/models/losses/pixel_contrast.py: PixelContrast.forward: 0 -> 1':
        'the default of "iteration", which this term takes and does not read',
}
#: Behavior changes, and no test asks for it: why not.
SURVIVORS: dict[str, str] = {
    'mmseg_dg/models/losses/pixel_alignment.py: PixelAlignment.forward: 0 -> 1':
        'the mean number of drift pixels differs only between 0 and 1: several processes, most of them without any',
}
