"""How far the agent's clock is from the server's."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.session.timing import DRIFT, ClockOffset, measured, running_asleep

START = datetime(2026, 11, 18, 9, tzinfo=UTC)
seconds = st.floats(0, 2).map(lambda value: timedelta(seconds=value))


def exchange(before: ClockOffset | None, truth: timedelta, up: timedelta, down: timedelta, at: float) -> ClockOffset:
    """A heartbeat that took `up` to the server's stamp and `down` back, with the server `truth` ahead."""
    sent = START + timedelta(seconds=at)
    return measured(before, sent=sent, received=sent + up + down, server_time=sent + up + truth, now=at)


@given(truth=st.floats(-1e5, 1e5), delays=st.lists(st.tuples(seconds, seconds), min_size=1, max_size=10))
def test_the_truth_lies_within_the_uncertainty_whatever_the_delays(
    truth: float, delays: list[tuple[timedelta, timedelta]]
) -> None:
    offset, wanted = None, timedelta(seconds=truth)
    for number, (up, down) in enumerate(delays):
        offset = exchange(offset, wanted, up, down, at=number * 5.0)
    assert offset
    slack = timedelta(microseconds=5)
    assert abs(offset.offset - wanted) <= offset.uncertainty(offset.measured_at) + slack


def test_measurements_sharpen_one_another() -> None:
    truth, slow, fast = timedelta(seconds=3), timedelta(seconds=1), timedelta(milliseconds=5)
    late_answer = exchange(None, truth, fast, slow, at=0)
    both = exchange(late_answer, truth, slow, fast, at=5)
    assert late_answer.uncertainty(0) > timedelta(milliseconds=500)
    assert both.uncertainty(5) < timedelta(milliseconds=10)
    assert abs(both.offset - truth) < timedelta(milliseconds=10)


def test_uncertainty_grows_with_the_drift_since() -> None:
    offset = exchange(None, timedelta(), timedelta(), timedelta(), at=0)
    assert offset.uncertainty(3600) == timedelta(seconds=3600 * DRIFT)


def test_a_clock_that_was_set_is_measured_anew() -> None:
    tight = timedelta(milliseconds=1)
    before = exchange(None, timedelta(), tight, tight, at=0)
    after = exchange(before, timedelta(minutes=7), tight, tight, at=5)
    assert abs(after.offset - timedelta(minutes=7)) <= after.uncertainty(5)


def test_the_clock_of_leases_goes_forward() -> None:
    assert running_asleep() <= running_asleep()
