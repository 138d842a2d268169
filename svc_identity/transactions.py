"""One RPC is one transaction: in the caller's tenant, held to the caller's sites, and acting once per request id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from google.protobuf.message import Message

from mesh.auth import Caller, current_caller
from mesh.database import Database, Tx
from mesh.idempotency import once
from schema.identity import identity_requests

T = TypeVar("T")
ResponseT = TypeVar("ResponseT", bound=Message)
Work: TypeAlias = Callable[[Tx, Caller], Awaitable[T]]


class _NotAskedYet(Exception):  # noqa: N818  (no error: it undoes the claim on a request id)
    """Nobody has asked this before."""


class Transactions:
    """Opens the transaction that a servicer's use case runs in.

    Args:
        database: as svc_identity.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, work: Work[T]) -> T:
        """Runs `work` in a read-only transaction."""
        caller = current_caller()
        async with self._database.as_caller(caller, read_only=True) as tx:
            return await work(tx, caller)

    async def write(self, request: Message, response_type: type[ResponseT], work: Work[ResponseT]) -> ResponseT:
        """Runs `work` in a transaction, once per request id; a repeat gets the first answer.

        Args:
            request: with its request_id.
            response_type: of the answer.
            work: the use case; may run several times when PostgreSQL asks for it.
        """
        caller = current_caller()

        async def attempt(tx: Tx) -> ResponseT:
            return await once(
                tx, identity_requests, caller, request, lambda: work(tx, caller), response_type=response_type
            )

        return await self._database.run_as_caller(caller, attempt)

    async def answered(self, request: Message, response_type: type[ResponseT]) -> ResponseT | None:
        """The first answer to this request id, before what is costly is done again; None: it must be done.

        Raises:
            MeshError: REQUEST_ID_REUSED.
        """
        if not request.request_id:  # type: ignore[attr-defined]  # every mutation has it; a contract test says so
            return None

        async def undo(_tx: Tx, _caller: Caller) -> ResponseT:
            raise _NotAskedYet

        try:
            return await self.write(request, response_type, undo)
        except _NotAskedYet:
            return None
