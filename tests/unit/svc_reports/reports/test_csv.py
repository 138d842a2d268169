"""CSV that every reader takes for what it is, and no spreadsheet for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_reports.reports.csv import CHUNK, Cell, chunks


async def each(rows: Iterable[Iterable[Cell]]) -> AsyncIterator[Iterable[Cell]]:
    for row in rows:
        yield row


async def written(rows: Iterable[Iterable[Cell]], *header: str) -> bytes:
    return b"".join([chunk async for chunk in chunks(header, each(rows))])


async def test_lines_end_with_crlf_and_an_unknown_value_is_an_empty_cell() -> None:
    assert await written([["2026-03-10", None, 0], ["2026-03-11", 1.5, 2]], "day", "a", "b") == (
        b"day,a,b\r\n2026-03-10,,0\r\n2026-03-11,1.5,2\r\n"
    )


async def test_a_file_without_rows_is_its_header() -> None:
    assert await written([], "day", "visits") == b"day,visits\r\n"


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
async def test_text_that_a_spreadsheet_would_run_is_disarmed(first: str) -> None:
    rows = list(csv.reader(io.StringIO((await written([[f"{first}cmd()"]], "name")).decode(), newline="")))
    assert rows[1] == [f"'{first}cmd()"]


async def test_a_negative_number_stays_a_number() -> None:
    assert await written([[-1, -0.5]], "a", "b") == b"a,b\r\n-1,-0.5\r\n"


@settings(deadline=None)  # no test judges by the clock
@given(
    rows=st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=2, max_size=2))
)
async def test_what_was_written_is_read_back(rows: list[list[str]]) -> None:
    text = (await written(rows, "a", "b")).decode()
    found = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [[cell.removeprefix("'") for cell in row] for row in found] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]


async def test_a_long_file_flows_in_chunks() -> None:
    rows: list[list[Cell]] = [["x" * 1000, number] for number in range(200)]
    sizes = [len(chunk) async for chunk in chunks(["a", "b"], each(rows))]
    assert len(sizes) == 4
    assert all(size < CHUNK + 2000 for size in sizes)
