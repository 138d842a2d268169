"""Sixth: what a handler raises becomes a rich status. What is not ours is INTERNAL, logged whole, and not told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import structlog

from mesh import telemetry
from mesh.database import translate
from mesh.errors import Internal, MeshError, from_rpc_error
from mesh.interceptors.base import Interceptor, Rpc, refuse

_log = structlog.get_logger(__name__)
_bugs = telemetry.counter("rpc_bugs", "Exceptions that nobody foresaw", ["error"])


class Errors(Interceptor):
    """Ends the call with the error's status. AbortError and cancellation pass: the client has its answer already."""

    name = "errors"

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        try:
            yield
        except grpc.aio.AbortError:
            raise  # it is an Exception, and swallowing it would keep the handler running
        except Exception as error:  # noqa: BLE001 (understood() tells ours from bugs, and logs those)
            await refuse(rpc.context, understood(error))


def understood(error: Exception) -> MeshError:
    """The error in the mesh's words; a bug is logged here, once, with its traceback and the request id.

    Of a TaskGroup's several errors the first that is a refusal speaks for all.
    """
    if isinstance(error, ExceptionGroup):
        leaves = list(_leaves(error))
        error = next((leaf for leaf in leaves if isinstance(leaf, MeshError)), leaves[0] if len(leaves) == 1 else error)
    if isinstance(error, MeshError):
        return error
    if isinstance(error, grpc.RpcError):
        known: MeshError | None = from_rpc_error(error)
    else:
        known = translate(error)
    if known is not None and not isinstance(known, Internal):
        _log.warning("dependency_failed", reason=known.reason_name, error=type(error).__name__)
        return known
    _bugs.labels(type(error).__name__).inc()
    _log.error("bug", exc_info=error)
    return Internal()


def _leaves(error: Exception) -> Iterator[Exception]:
    if not isinstance(error, ExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from _leaves(inner)
