"""Mutations that may be repeated (AIP-155): the first answer to a request id is kept for 24 h per principal and RPC.

    async def CreateSite(self, request, context):
        caller = current_caller()
        async with self._database.as_caller(caller) as tx:
            return await once(
                tx, registry_requests, caller, request, lambda: self._create(tx, caller, request),
                response_type=site_pb2.CreateSiteResponse,
            )

The key is claimed, the act done and the answer kept in one transaction: a second call with the same id waits for the
first to end, then gets its answer. Another body under the same id is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final, TypeVar
from uuid import NAMESPACE_DNS, UUID, uuid5

from footfall.type.v1 import problem_pb2
from google.protobuf.message import Message
from sqlalchemy import Interval, Table, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from mesh.auth import Caller
from mesh.database import Tx
from mesh.errors import InvalidField, MeshError

KEPT: Final = timedelta(hours=24)

ResponseT = TypeVar("ResponseT", bound=Message)


async def once(
    tx: Tx,
    table: Table,
    caller: Caller,
    request: Message,
    act: Callable[[], Awaitable[ResponseT]],
    *,
    response_type: type[ResponseT],
) -> ResponseT:
    """Acts, unless this caller has asked for the very same before; then gives the first answer again.

    Args:
        tx: the transaction that `act` writes in; the caller's tenant is set in it.
        table: the service's request table: tenant_id, subject_id, rpc, request_id, body_hash, response, create_time,
            expire_time; primary key the first four.
        caller: whose request ids these are.
        request: has a field request_id (a UUID); empty: no repetition is recognised. Its type names the RPC.
        act: does it, in `tx`.
        response_type: of the answer.

    Raises:
        MeshError: REQUEST_ID_REUSED, or whatever `act` raises (then nothing is kept, and a retry acts).
    """
    request_id: str = request.request_id  # type: ignore[attr-defined]  # every mutation has it; a contract test says so
    if not request_id:
        return await act()
    key = {
        "tenant_id": caller.acting_tenant,
        "subject_id": caller.subject_id or uuid5(NAMESPACE_DNS, caller.peer),
        "rpc": request.DESCRIPTOR.full_name,
        "request_id": _uuid(request_id),
    }
    body_hash = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    if (kept := await _claim(tx, table, key, body_hash)) is not None:
        return response_type.FromString(kept)
    response = await act()
    await tx.execute(_where(update(table), table, key).values(response=response.SerializeToString()))
    return response


async def _claim(tx: Tx, table: Table, key: Mapping[str, object], body_hash: bytes) -> bytes | None:
    """Takes the key for us (None), or gives the answer that was kept under it."""
    expire = func.now() + cast(literal(KEPT), Interval)
    row = insert(table).values(**key, body_hash=body_hash, response=b"", create_time=func.now(), expire_time=expire)
    # An answer past its life is as good as none: its row is taken over. Waits here while the first call is running.
    claim = row.on_conflict_do_update(
        index_elements=["tenant_id", "subject_id", "rpc", "request_id"],
        set_={"body_hash": body_hash, "response": b"", "create_time": func.now(), "expire_time": expire},
        where=table.c.expire_time <= func.now(),
    ).returning(table.c.request_id)
    if (await tx.execute(claim)).first() is not None:
        return None
    first = (await tx.execute(_where(select(table.c.body_hash, table.c.response), table, key))).one()
    if first.body_hash != body_hash:
        raise MeshError(
            problem_pb2.ERROR_REASON_REQUEST_ID_REUSED, "this request_id was used before, for something else"
        )
    return bytes(first.response)


def _where(statement, table: Table, key: Mapping[str, object]):  # type: ignore[no-untyped-def]  # Select and Update alike
    for name, value in key.items():
        statement = statement.where(table.c[name] == value)
    return statement


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidField("request_id", "must be a UUID") from None
