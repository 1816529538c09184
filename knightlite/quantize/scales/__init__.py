"""How types, groups and scales of tensors and weights are chosen."""
