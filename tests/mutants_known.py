"""Mutants that tests/mutants.py lists as surviving: those that cannot change behavior, and those that are left.

Keys are those the tool prints; a key whose line has changed is simply drawn no more.
"""
#: Nothing a caller could see changes.
EQUIVALENT: dict[str, str] = {
}
#: Behavior changes, and no test asks for it: why not.
SURVIVORS: dict[str, str] = {
}
