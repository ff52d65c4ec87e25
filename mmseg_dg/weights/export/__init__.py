"""Exported networks: the plain function of an image, its metadata, and the formats it is written in."""
