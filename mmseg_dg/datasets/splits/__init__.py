"""Lists of images: the published protocols and how new ones are drawn."""
