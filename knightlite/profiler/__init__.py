"""Where the time goes: per-layer table, totals, Knight's text, JSON and a Perfetto trace."""

from knightlite.profiler.assumptions import Assumption, assumed_facts
from knightlite.profiler.certainty import Certainty, certainty, rounded
from knightlite.profiler.certificate import (
    Certificate,
    certificate,
    certificate_json,
    certificate_lines,
    region_table,
)
from knightlite.profiler.profile import Batch, LayerProfile, Profile, profile
from knightlite.profiler.regions import RegionProfile
from knightlite.profiler.writers import profile_json, profile_text, trace_json

__all__ = [
    "Assumption",
    "Batch",
    "Certainty",
    "Certificate",
    "LayerProfile",
    "Profile",
    "RegionProfile",
    "assumed_facts",
    "certainty",
    "certificate",
    "certificate_json",
    "certificate_lines",
    "profile",
    "profile_json",
    "profile_text",
    "region_table",
    "rounded",
    "trace_json",
]
