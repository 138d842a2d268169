"""The agent's own figures, as /metrics shows them: read from where they are kept, so they are never a second truth."""

from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_agent.cameras import Cameras
from edge_agent.inference import Inference
from edge_agent.session.session import Session
from edge_agent.spool.records import Backlog, Ledger


class AgentCollector(Collector):
    """Collects on demand; the spool's figures are those of the last look, since a scrape must not wait for a disk."""

    def __init__(self, session: Session, cameras: Cameras, inference: Inference) -> None:
        """Of one agent."""
        self._session, self._cameras, self._inference = session, cameras, inference
        self.ledger: Ledger | None = None
        self.backlog: Backlog | None = None
        self.reasons: dict[str, int] = {}

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        yield GaugeMetricFamily(
            "footfall_agent_connected", "A session with the registry stands.", value=float(self._session.connected)
        )
        yield GaugeMetricFamily(
            "footfall_agent_spare_frame_rate",
            "Frames per second that could still be analysed.",
            value=self._inference.spare_frame_rate,
        )
        rates = GaugeMetricFamily("footfall_agent_frame_rate", "Analysed frames per second.", labels=["camera_id"])
        ages = GaugeMetricFamily("footfall_agent_frame_age_seconds", "Age of the newest frame.", labels=["camera_id"])
        for camera_id, report in self._cameras.reports().items():
            rates.add_metric([str(camera_id)], report.frame_rate)
            if report.frame_age is not None:
                ages.add_metric([str(camera_id)], report.frame_age)
        yield rates
        yield ages
        yield from self._spool()

    def _spool(self) -> Iterable[Metric]:
        if self.ledger is None or self.backlog is None:
            return
        events = CounterMetricFamily("footfall_agent_events", "Events by what became of them.", labels=["outcome"])
        for outcome in ("stored", "accepted", "rejected", "quarantined", "evicted"):
            events.add_metric([outcome], float(getattr(self.ledger, outcome)))
        yield events
        reasons = CounterMetricFamily("footfall_agent_events_refused", "By reason.", labels=["outcome", "reason"])
        for name, count in self.reasons.items():
            reasons.add_metric(name.split(":", 1), float(count))
        yield reasons
        yield CounterMetricFamily(
            "footfall_agent_snapshots_dropped", "Let go of by a full spool.", value=float(self.ledger.snapshots_dropped)
        )
        yield GaugeMetricFamily("footfall_agent_spool_events", "Events that wait.", value=float(self.backlog.events))
        yield GaugeMetricFamily("footfall_agent_spool_bytes", "Bytes that wait.", value=float(self.backlog.bytes))
