"""Files <-> tensors: what a trained network is written as, and read from."""
