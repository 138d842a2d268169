"""First: every call has an id, the caller's or a fresh one; it crosses services and stands in every log line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mesh import telemetry
from mesh.interceptors.base import Interceptor, Rpc

HEADER: Final = "x-request-id"


class RequestId(Interceptor):
    """Takes x-request-id from the metadata, or makes one, and sends it back in the trailing metadata."""

    name = "request id"
    outermost = True

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        named = telemetry.acceptable_request_id(rpc.header(HEADER))
        telemetry.set_request_id(named)
        rpc.context.set_trailing_metadata(((HEADER, named),))
        yield
