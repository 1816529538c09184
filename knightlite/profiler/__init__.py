"""Where the time goes: per-layer table, totals, Knight's text, JSON and a Perfetto trace."""

from knightlite.profiler.assumptions import Assumption, assumed_facts
from knightlite.profiler.certainty import (
    Certainty,
    bar_words,
    certainty,
    certainty_sentence,
    plain,
    rounded,
)
from knightlite.profiler.certificate import (
    Certificate,
    certificate,
    certificate_json,
    certificate_lines,
    region_table,
)
from knightlite.profiler.ddr_causes import CAUSES
from knightlite.profiler.frame_time import FrameTime, frame_time, host_ms
from knightlite.profiler.occupancy import Occupancy, Span, occupancies
from knightlite.profiler.per_frame import once_bytes, once_cycles, per_frame
from knightlite.profiler.perfetto import perfetto_trace
from knightlite.profiler.profile import Batch, LayerProfile, Profile, profile
from knightlite.profiler.regions import RegionProfile
from knightlite.profiler.saved import SavedProfile, read_profile
from knightlite.profiler.what_if import LIMITERS, WhatIf, frame_ms
from knightlite.profiler.writers import profile_json, profile_text

__all__ = [
    "CAUSES",
    "LIMITERS",
    "Assumption",
    "Batch",
    "Certainty",
    "Certificate",
    "FrameTime",
    "LayerProfile",
    "Occupancy",
    "Profile",
    "RegionProfile",
    "SavedProfile",
    "Span",
    "WhatIf",
    "assumed_facts",
    "bar_words",
    "certainty",
    "certainty_sentence",
    "certificate",
    "certificate_json",
    "certificate_lines",
    "frame_ms",
    "frame_time",
    "host_ms",
    "occupancies",
    "once_bytes",
    "once_cycles",
    "per_frame",
    "perfetto_trace",
    "plain",
    "profile",
    "profile_json",
    "profile_text",
    "read_profile",
    "region_table",
    "rounded",
]
