"""Passwords: argon2id (RFC 9106), off the event loop, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final, Protocol, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from footfall.type.v1 import problem_pb2

from mesh.errors import Unavailable

T = TypeVar("T")

WORKERS: Final = 2  # hashes at once: each takes a core and `memory_kib`
MOST_WAITING: Final = 16  # beyond it a sign-in is refused at once rather than answered after many seconds


class Passwords(Protocol):
    """Makes and checks password hashes."""

    async def hash(self, password: str) -> str:
        """A hash to store."""
        ...

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored one; without one (no such user) false, after the same time."""
        ...

    def is_outdated(self, stored: str) -> bool:
        """Whether it was made with other costs than today's, and should be made anew at the next sign-in."""
        ...


class Argon2Passwords:
    """The real ones.

    Args:
        iterations, memory_kib: argon2id's costs; RFC 9106's second recommendation is 3 and 65536.

    Raises (hash, verify):
        Unavailable: OVERLOADED, more sign-ins wait than can be answered soon.
    """

    def __init__(self, iterations: int = 3, memory_kib: int = 65536) -> None:
        self._hasher = PasswordHasher(time_cost=iterations, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="argon2")
        self._waiting = 0
        # What a password is compared with where there is no user: the cost must be the same.
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        def check() -> bool:
            try:
                return self._hasher.verify(stored or self._nobody, password)
            except (VerifyMismatchError, InvalidHashError):
                return False

        return await self._run(check) and stored is not None

    def is_outdated(self, stored: str) -> bool:
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Waits for hashes at work."""
        self._pool.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Unavailable(
                "too many people sign in at once",
                reason=problem_pb2.ERROR_REASON_OVERLOADED,
                retry_after=timedelta(seconds=2),
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
