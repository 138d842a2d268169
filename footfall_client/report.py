"""Reports, pulled: the visitors of a range as messages, and exports as bytes.

async with reports(connect, tokens) as pull:
    series = await pull.visitors(GetVisitorSeriesRequest(…))
    async for chunk in pull.export_visits(ExportVisitsRequest(…)):
        file.write(chunk)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc
from footfall_messages.footfall.reports import v1 as reports_v1
from footfall_messages.google.api import HttpBody

from footfall_client.channel import Connect, server_stream, unary
from footfall_client.token import Tokens

SERVICE: Final = "/footfall.reports.v1.ReportService/"

LONGEST: Final = 60.0
"""Seconds that a report may take."""


class Reports:
    """The reports of one principal, over one connection."""

    def __init__(self, channel: grpc.aio.Channel, tokens: Tokens) -> None:
        """Use `reports`."""
        self._channel, self._tokens = channel, tokens

    async def visitors(self, request: reports_v1.GetVisitorSeriesRequest) -> reports_v1.GetVisitorSeriesResponse:
        """Visits and visitors by bucket. Raises `Refused`."""
        token = await self._tokens.get()
        return await unary(
            self._channel,
            SERVICE + "GetVisitorSeries",
            request,
            reports_v1.GetVisitorSeriesResponse,
            token=token.value,
            timeout=LONGEST,
        )

    async def distribution(self, request: reports_v1.GetDistributionRequest) -> reports_v1.GetDistributionResponse:
        """How visits spread over hours, weekdays or durations. Raises `Refused`."""
        token = await self._tokens.get()
        return await unary(
            self._channel,
            SERVICE + "GetDistribution",
            request,
            reports_v1.GetDistributionResponse,
            token=token.value,
            timeout=LONGEST,
        )

    async def export_visitors(self, request: reports_v1.ExportVisitorSeriesRequest) -> AsyncIterator[bytes]:
        """The series as a file, in pieces. Raises `Refused`."""
        token = await self._tokens.get()
        pieces = server_stream(self._channel, SERVICE + "ExportVisitorSeries", request, HttpBody, token=token.value)
        async for piece in pieces:
            yield piece.data

    async def export_visits(self, request: reports_v1.ExportVisitsRequest) -> AsyncIterator[bytes]:
        """The visits as a file, in pieces. Raises `Refused`."""
        token = await self._tokens.get()
        async for piece in server_stream(self._channel, SERVICE + "ExportVisits", request, HttpBody, token=token.value):
            yield piece.data


@asynccontextmanager
async def reports(connect: Connect, tokens: Tokens) -> AsyncIterator[Reports]:
    """A connection to pull reports over, closed at the end of the context."""
    channel = connect()
    try:
        yield Reports(channel, tokens)
    finally:
        await channel.close()
