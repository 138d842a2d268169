"""Passwords are argon2id; nobody's is checked at the same cost as somebody's; too many at once are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from mesh.errors import Unavailable
from svc_registry.access.passwords import MOST_WAITING, Argon2Passwords


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    made = Argon2Passwords(iterations=1, memory_kib=8192)
    yield made
    made.close()


async def test_the_right_password_and_no_other(passwords: Argon2Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "Correct horse")


async def test_nobody_has_no_password(passwords: Argon2Passwords) -> None:
    assert not await passwords.verify(None, "nobody's password")


async def test_a_damaged_hash_fits_nothing(passwords: Argon2Passwords) -> None:
    assert not await passwords.verify("not a hash", "correct horse")


async def test_a_hash_of_other_costs_is_outdated(passwords: Argon2Passwords) -> None:
    stronger = Argon2Passwords(iterations=2, memory_kib=8192)
    assert passwords.is_outdated(await stronger.hash("correct horse"))
    assert not passwords.is_outdated(await passwords.hash("correct horse"))
    stronger.close()


async def test_more_than_can_be_answered_soon_are_refused(passwords: Argon2Passwords) -> None:
    at_once = [asyncio.ensure_future(passwords.hash("correct horse")) for _ in range(MOST_WAITING + 1)]
    results = await asyncio.gather(*at_once, return_exceptions=True)
    assert [type(result) for result in results].count(Unavailable) == 1
