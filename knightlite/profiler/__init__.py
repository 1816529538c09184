"""Where the time goes: per-layer table, totals, Knight's text, JSON and a Perfetto trace."""

from knightlite.profiler.assumptions import Assumption, assumed_facts
from knightlite.profiler.certainty import Certainty, certainty, rounded
from knightlite.profiler.profile import Batch, LayerProfile, Profile, profile
from knightlite.profiler.writers import profile_json, profile_text, trace_json

__all__ = [
    "Assumption",
    "Batch",
    "Certainty",
    "LayerProfile",
    "Profile",
    "assumed_facts",
    "certainty",
    "profile",
    "profile_json",
    "profile_text",
    "rounded",
    "trace_json",
]
