"""Second: one log line and the metrics of each call, whatever becomes of it further in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import structlog

from mesh import telemetry
from mesh.auth import find_caller
from mesh.interceptors.base import Interceptor, Rpc

_log = structlog.get_logger("rpc")
_seconds = telemetry.histogram("rpc_seconds", "Time that calls took; of streams, their life", ["method"])
_handled = telemetry.counter("rpc_handled", "Calls ended, by gRPC code", ["method", "code"])
_open = telemetry.gauge("rpc_open", "Calls and streams that are open now", ["method"])
_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}

# Asked every few seconds by machines: no line for each answer.
QUIET: Final = ("/grpc.health.v1.", "/grpc.reflection.", "/grpc.channelz.")


class Telemetry(Interceptor):
    """Logs "rpc" with method, code, milliseconds, peer, tenant and role; counts and times by method."""

    name = "log and metrics"

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        started = time.perf_counter()
        _open.labels(rpc.method).inc()
        code = "UNKNOWN"
        try:
            yield
            code = _code(rpc)
        except grpc.aio.AbortError:
            code = _code(rpc)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        finally:
            seconds = time.perf_counter() - started
            _open.labels(rpc.method).dec()
            _handled.labels(rpc.method, code).inc()
            _seconds.labels(rpc.method).observe(seconds)
            _write(rpc, code, seconds)


def _code(rpc: Rpc) -> str:
    code: Any = rpc.context.code()  # a StatusCode by its type, a number (or None for OK) in fact
    return code.name if isinstance(code, grpc.StatusCode) else _NAMES.get(int(code or 0), str(code))


def _write(rpc: Rpc, code: str, seconds: float) -> None:
    caller = find_caller()
    log = _log.debug if rpc.method.startswith(QUIET) else _log.info
    log(
        "rpc",
        method=rpc.method,
        code=code,
        ms=round(seconds * 1000, 2),
        peer=caller.peer if caller else "",
        tenant_id=str(caller.tenant_id) if caller and caller.tenant_id else None,
        role=caller.role.value if caller and caller.role else None,
        subject_id=str(caller.subject_id) if caller and caller.subject_id else None,
    )
