from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from mesh.ids import Ids, SequentialIds, SystemIds, uuid7_time

AT = datetime(2026, 3, 4, 5, 6, 7, 891_000, tzinfo=UTC)


@pytest.mark.parametrize("ids", [SystemIds(), SequentialIds()], ids=["system", "fake"])
def test_an_id_carries_the_time_it_was_asked_for(ids: Ids) -> None:
    made = ids.uuid7(AT)
    assert made.version == 7
    assert made.variant == UUID(int=0x2 << 62).variant
    assert uuid7_time(made) == AT


@pytest.mark.parametrize("ids", [SystemIds(), SequentialIds()], ids=["system", "fake"])
def test_no_two_ids_are_equal(ids: Ids) -> None:
    assert len({ids.uuid7(AT) for _ in range(1000)}) == 1000


def test_ids_made_now_carry_now() -> None:
    assert abs(uuid7_time(SystemIds().uuid7()) - datetime.now(UTC)) < timedelta(minutes=1)


def test_later_ids_sort_after_earlier_ones() -> None:
    ids = SystemIds()
    assert ids.uuid7(AT) < ids.uuid7(AT + timedelta(milliseconds=1))


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        SystemIds().uuid7(datetime(2026, 1, 1))  # noqa: DTZ001 (the point)


def test_another_version_carries_no_time() -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        uuid7_time(uuid4())


def test_the_fake_counts() -> None:
    first, second = SequentialIds(), SequentialIds()
    assert [first.uuid7() for _ in range(3)] == [second.uuid7() for _ in range(3)]


def test_a_secret_has_the_randomness_it_was_asked_for() -> None:
    ids = SystemIds()
    assert len(ids.secret(32)) == 43
    assert ids.secret(32) != ids.secret(32)
