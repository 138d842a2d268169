"""CSV as RFC 4180 has it, in chunks: a header line, commas, CRLF; an unknown value is an empty cell."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeAlias

CONTENT_TYPE: Final = "text/csv; charset=utf-8"
#: Bytes, roughly, of one chunk: small enough to flow, large enough not to crawl.
CHUNK: Final = 64 * 1024

Cell: TypeAlias = str | int | float | None


async def chunks(header: Iterable[str], rows: AsyncIterator[Iterable[Cell]]) -> AsyncIterator[bytes]:
    """The file, header first, UTF-8."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    async for row in rows:
        writer.writerow(["" if cell is None else _safe(cell) for cell in row])
        if buffer.tell() >= CHUNK:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def _safe(cell: Cell) -> Cell:
    """Text that a spreadsheet would run as a formula is quoted with an apostrophe (OWASP: CSV injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell
