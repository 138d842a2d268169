from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import InvalidField
from mesh.wire import duration, moment, timestamp

AT = datetime(2026, 5, 1, 12, 30, 0, 123456, tzinfo=UTC)


def test_a_time_comes_back_as_the_same_instant() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert moment("start_time", timestamp(elsewhere)) == AT
    assert moment("start_time", timestamp(AT)).tzinfo is UTC


def test_an_absent_time_stays_absent() -> None:
    assert timestamp(None) is None


@pytest.mark.parametrize("seconds", [2**62, -(2**62), 253_402_300_800, -62_135_596_801])
def test_a_time_that_no_calendar_has_is_refused_by_its_field(seconds: int) -> None:
    with pytest.raises(InvalidField) as refused:
        moment("filter.start_time", Timestamp(seconds=seconds))
    assert [violation.field for violation in refused.value.violations] == ["filter.start_time"]


def test_a_span_keeps_its_microseconds() -> None:
    span = timedelta(days=2, microseconds=7)
    assert duration(span).ToTimedelta() == span
