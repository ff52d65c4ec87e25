"""Files <-> tensors: the known files, their conversion and names, comparison of state dicts,
export.

Modules are imported by name; the package itself loads none.
"""
