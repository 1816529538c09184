"""Advice on a profile: what was tried on top of it, and the page that shows it."""

__all__: list[str] = []
