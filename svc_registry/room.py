"""How many of a thing a tenant may have: far more than a company has, far less than would hurt the others."""

from __future__ import annotations

from dataclasses import dataclass

from footfall.type.v1 import problem_pb2
from sqlalchemy import ColumnElement, Table, func, select

from mesh.database import Tx
from mesh.errors import FailedPrecondition


@dataclass(frozen=True, slots=True)
class Room:
    """At most so many that live."""

    sites_per_tenant: int = 2_000
    cameras_per_site: int = 256
    users_per_tenant: int = 5_000
    api_keys_per_tenant: int = 10_000


async def check_room(tx: Tx, table: Table, most: int, *which: ColumnElement[bool]) -> None:
    """Refuses one more.

    Two at the same moment may both see the last place: a limit of this kind need not be exact.

    Args:
        table: whose rows of the tenant at hand are counted.
        most: how many there may be.
        which: only rows like these.

    Raises:
        FailedPrecondition: LIMIT_REACHED.
    """
    rows = select(table.c.id).where(*which).limit(most).subquery()
    if int(await tx.scalar(select(func.count()).select_from(rows)) or 0) >= most:
        raise FailedPrecondition(
            f"there are {most} {table.name} already",
            reason=problem_pb2.ERROR_REASON_LIMIT_REACHED,
            metadata={"limit": str(most)},
        )
