"""``sim``, and the session of Python."""
