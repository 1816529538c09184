"""Where the time goes: per-layer table, totals, Knight's text, JSON and a Perfetto trace."""

from knightlite.profiler.profile import LayerProfile, Profile, chip_with_bandwidth, profile
from knightlite.profiler.writers import profile_json, profile_text, trace_json

__all__ = [
    "LayerProfile",
    "Profile",
    "chip_with_bandwidth",
    "profile",
    "profile_json",
    "profile_text",
    "trace_json",
]
