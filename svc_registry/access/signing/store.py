"""The table of signing keys. It belongs to no tenant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from mesh.database import Tx
from schema.registry import signing_keys
from svc_registry.access.signing.domain import KeyLife


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key as it is kept.

    Attributes:
        life: its times.
        public_jwk: as published.
        private_key: PKCS#8 (DER), sealed by the key ring under "signing-key:" and the kid.
    """

    life: KeyLife
    public_jwk: dict[str, Any]
    private_key: bytes


async def list_keys(tx: Tx) -> list[StoredKey]:
    """All keys, the oldest first."""
    rows = await tx.execute(select(signing_keys).order_by(signing_keys.c.activate_time, signing_keys.c.kid))
    return [
        StoredKey(
            KeyLife(row.kid, row.activate_time, row.retire_time, row.expire_time), dict(row.public_jwk), row.private_key
        )
        for row in rows
    ]


async def insert_key(tx: Tx, key: StoredKey) -> None:
    """Publishes a key."""
    await tx.execute(
        insert(signing_keys).values(
            kid=key.life.kid,
            public_jwk=key.public_jwk,
            private_key=key.private_key,
            activate_time=key.life.activate_time,
            retire_time=key.life.retire_time,
            expire_time=key.life.expire_time,
        )
    )


async def retire_key(tx: Tx, kid: str, retire_time: datetime, expire_time: datetime) -> None:
    """Settles when a key signs no more, and when it is published no more."""
    await tx.execute(
        update(signing_keys)
        .where(signing_keys.c.kid == kid, signing_keys.c.retire_time.is_(None))
        .values(retire_time=retire_time, expire_time=expire_time)
    )


async def reseal_key(tx: Tx, kid: str, private_key: bytes) -> None:
    """Replaces the sealed private part of a key by the same one under another master key."""
    await tx.execute(update(signing_keys).where(signing_keys.c.kid == kid).values(private_key=private_key))


async def drop_keys(tx: Tx, kids: Iterable[str]) -> None:
    """Forgets keys."""
    await tx.execute(delete(signing_keys).where(signing_keys.c.kid.in_(list(kids))))
