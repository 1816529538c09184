"""8 and 16 bits in one network, and what they cost."""
