"""JSON logs and Prometheus metrics. structlog and prometheus-client only: the agent imports this too.

A log line is an event's name and its fields, ids rather than names:

    log = structlog.get_logger(__name__)
    log.info("lease_granted", camera_id=str(camera_id), epoch=epoch)

The request id of the RPC at hand is added to every line written under it, here and in the services called from here.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import EventDict, WrappedLogger

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")

# The process's metrics: /metrics shows this registry, and only it.
METRICS: Final = CollectorRegistry(auto_describe=True)


def configure_logging(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """One JSON object a line, for structlog's loggers and for the standard library's (grpc, sqlalchemy, …) alike.

    Args:
        service: stands in every line.
        level: DEBUG, INFO, WARNING or ERROR.
        stream: standard error by default.
    """
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _Bind(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelNamesMapping()[level], logging.INFO))
    for chatty in ("sqlalchemy", "procrastinate", "asyncio", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def request_id() -> str:
    """The id of the request at hand; "" outside of one."""
    return _request_id.get()


def new_request_id() -> str:
    """A fresh id, for what no caller named."""
    return str(uuid.uuid4())


def set_request_id(value: str) -> None:
    """Names the request of this task (and of tasks started from it). Interceptors call it."""
    _request_id.set(value)


def acceptable_request_id(value: str | None) -> str:
    """The caller's id when it is short and printable, else a fresh one: logs are no place for other people's text."""
    return value if value and _PRINTABLE.fullmatch(value) else new_request_id()


@contextmanager
def request_scope(value: str | None = None) -> Iterator[str]:
    """A request of our own making (a job, a test): its lines and calls carry one id."""
    token = _request_id.set(value or new_request_id())
    try:
        yield _request_id.get()
    finally:
        _request_id.reset(token)


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """A counter in METRICS, named footfall_<name>_total."""
    return Counter(f"footfall_{name}", documentation, labels, registry=METRICS)


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """A gauge in METRICS, named footfall_<name>."""
    return Gauge(f"footfall_{name}", documentation, labels, registry=METRICS)


def histogram(
    name: str,
    documentation: str,
    labels: Sequence[str] = (),
    buckets: Sequence[float] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
) -> Histogram:
    """A histogram in METRICS, named footfall_<name>; seconds unless the name says otherwise."""
    return Histogram(f"footfall_{name}", documentation, labels, registry=METRICS, buckets=buckets)


class _Bind:
    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = self._service
        return event


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if current := _request_id.get():
        event.setdefault("request_id", current)
    return event


def _dumps(event: EventDict, **_: object) -> str:
    return json.dumps(event, default=str, separators=(",", ":"), ensure_ascii=False)
