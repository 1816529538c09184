"""The profile as files: ``layer_cycles_NPU_0.txt`` and versioned JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from knightlite.profiler.assumptions import GIB
from knightlite.profiler.certainty import certainty_sentence, plain
from knightlite.profiler.certificate import (
    certificate_json,
    certificate_lines,
    region_table,
)
from knightlite.profiler.limiter import limiter_json
from knightlite.profiler.profile import Profile, Trip

SCHEMA = "knightlite.profile/1"


def totals(found: Profile) -> list[tuple[str, str]]:
    """Knight's totals: label and value.

    The use rate is the share of the DDR's rate that transfers are assumed to reach, which is what
    Knight's option ``-bu`` sets; how busy the DDR is, the JSON says as ``ddr_utilization``.
    """
    return [
        ("Total RDMA byte", str(found.read_bytes)),
        ("Total WDMA byte", str(found.write_bytes)),
        ("Total burst byte", str(found.burst_bytes)),
        ("Cost (ms)", f"{found.time_ms:.6f}"),
        ("Cost error", certainty_sentence(found.certainty)),
        *(
            (
                f"Cost of {batch.frames} back to back (ms)",
                f"{batch.time_ms:.6f}, {batch.rate_text} frames/s",
            )
            for batch in found.batches
            if batch.frames > 1
        ),
        *_with_host(found),
        *(
            (
                f"Trip {number} to the host",
                f"{trip.op} {_where(trip)}, {trip.read_bytes} bytes read, {trip.write_bytes} "
                "written; its time is not counted",
            )
            for number, trip in enumerate(found.trips, start=1)
        ),
        ("Total calculation amount", str(found.macs)),
        ("RCCN utilization", f"{found.mac_utilization * 100:.2f}%"),
        ("Storage bandwidths (GB/s)", f"{found.ddr_bytes_per_second / GIB:.6f}"),
        ("Storage bandwidths use rate", f"{found.ddr_efficiency_percent:.2f}%"),
        ("NPU freq (MHZ)", f"{found.clock_hz / 1e6:g}"),
    ]


def _with_host(found: Profile) -> list[tuple[str, str]]:
    """The host's share, which is in no line above, and a frame with it."""
    whole = found.frame.with_host
    if whole is None:
        return []
    return [
        ("Host beside it, a frame (ms)", plain(found.host_ms)),
        ("Cost with the host", whole.words),
    ]


def _where(trip: Trip) -> str:
    return f"before {trip.before}" if trip.before else "behind the last layer"


def profile_text(found: Profile) -> str:
    """``layer_cycles_NPU_0.txt``: totals, what was assumed, then one line per layer."""
    lines = [f"{label}: {value}" for label, value in totals(found)]
    lines += [f"Assumed: {item}" for item in found.assumed]
    titles = ("Time(ms)", "RD(Byte)", "WD(Byte)", "Burst(Byte)")
    lines += ["", f"{' '.join(f'{title:>12}' for title in titles)} Layer Name"]
    lines += [
        f"{row.time_ms:12.6f} {row.read_bytes:12d} {row.write_bytes:12d} {row.burst_bytes:12d} "
        f"{row.name}"
        for row in found.layers
    ]
    lines += ["", *(f"{label}: {value}" for label, value in certificate_lines(found.certificate))]
    lines += ["; ".join(row) for row in region_table(found.certificate)]
    return "\n".join(lines) + "\n"


def profile_json(found: Profile, advice: Mapping[str, Any] | None = None) -> str:
    """The whole profile but the events, with ``"schema": "knightlite.profile/1"``.

    ``advice``: what would make it faster, as ``report.advice_json`` says it; None: nobody asked.
    """
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "name": found.name,
        "chip": found.chip_name,
        "clock_hz": found.clock_hz,
        "ddr_bytes_per_second": found.ddr_bytes_per_second,
        "ddr_efficiency_percent": found.ddr_efficiency_percent,
        "assumed": [asdict(item) for item in found.assumed],
        "cycles": found.cycles,
        "once_cycles": found.once_cycles,
        **found.frame.json,
        "limiter": limiter_json(found),
        "advice": advice,
        "batches": [asdict(batch) for batch in found.batches],
        "macs": found.macs,
        "mac_utilization": found.mac_utilization,
        "ddr_read_bytes": found.read_bytes,
        "ddr_write_bytes": found.write_bytes,
        "ddr_burst_bytes": found.burst_bytes,
        "ddr_busy_cycles": found.ddr_busy_cycles,
        "ddr_utilization": found.ddr_utilization,
        "ddr_bytes_by_cause": dict(found.ddr_causes),
        "engine_busy_cycles": found.busy_cycles,
        "what_ifs": [asdict(item) for item in found.what_ifs],
        "certificate": certificate_json(found.certificate),
        "trips": [asdict(trip) for trip in found.trips],
        "layers": [asdict(row) for row in found.layers],
    }
    return json.dumps(value, indent=1) + "\n"
