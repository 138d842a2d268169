"""What the rooms of the directory ask alike."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table, func, select, tuple_

from mesh.database import Tx
from mesh.errors import InvalidField


async def by_display_name(tx: Tx, chosen: Select[*tuple[Any, ...]], table: Table, after: str | None) -> Select[Any]:
    """`chosen` ordered by display name, ties by id, from where the last page ended.

    The page token holds the last row's id, not its name, which may be longer than a token: rows of the directory are
    marked as deleted and not removed, so the row is there.

    Raises:
        InvalidField: the row is gone after all.
    """
    order = (func.lower(table.c.display_name), table.c.id)
    ordered = chosen.order_by(*order)
    if after is None:
        return ordered
    last = (await tx.execute(select(*order).where(table.c.id == UUID(after)))).first()
    if last is None:
        raise InvalidField("page_token", "start again without it")
    return ordered.where(tuple_(*order) > tuple_(*last))
