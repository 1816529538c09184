"""What ``/metrics`` says, in the text form of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Meters:
    """Counters of one server; ``model`` is the name of a network that it serves, or ""."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "knightlite_requests", "Inference requests answered.", ("model", "code"),
            registry=self._registry,
        )  # fmt: skip
        self.frames = Counter(
            "knightlite_frames", "Frames run.", ("model",), registry=self._registry
        )
        self.seconds = Histogram(
            "knightlite_request_seconds", "From the first byte of a request to its answer.",
            ("model",), buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self.run_seconds = Histogram(
            "knightlite_run_seconds", "Of that in the network.", ("model",), buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self.pending = Gauge(
            "knightlite_pending_requests", "Requests that wait or run.", registry=self._registry
        )

    def text(self) -> bytes:
        """All of them now."""
        return generate_latest(self._registry)
