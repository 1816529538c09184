"""``compare``: values of layers side by side."""
