"""Metrics in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one server, so that two servers in one process do not share them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "vivavoce_requests", "Requests by path, method and status.", ["path", "method", "status"], registry=registry
        )
        self.characters = Counter("vivavoce_characters", "Characters of text spoken.", registry=registry)
        self.speech_seconds = Counter("vivavoce_speech_seconds", "Seconds of speech generated.", registry=registry)
        self.waiting = Gauge("vivavoce_waiting", "Requests waiting for a worker.", registry=registry)
        self.active = Gauge("vivavoce_active", "Requests that workers are generating.", registry=registry)
        self.workers = Gauge("vivavoce_workers", "Workers that are ready.", registry=registry)
        self.restarts = Counter("vivavoce_worker_restarts", "Workers that died and were replaced.", registry=registry)
        self.first_audio = Histogram(
            "vivavoce_first_audio_seconds",
            "Seconds from a request to its first audio.",
            buckets=(0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120),
            registry=registry,
        )
        self.batch = Histogram(
            "vivavoce_pass_pieces",
            "Pieces that shared a pass of the network.",
            buckets=(1, 2, 3, 4, 6, 8),
            registry=registry,
        )

    def text(self) -> bytes:
        """Return all metrics, as CONTENT_TYPE."""
        return generate_latest(self.registry)
