"""The mesh's key pairs for the agents' spools: agents wrap, and only the registry unwraps, for a worker it trusts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from footfall.type.v1 import problem_pb2
from sqlalchemy import insert, select, text

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.database import Database, Tx, lock
from mesh.errors import InvalidField, PermissionDenied
from mesh.ids import Ids, WorkerId
from mesh.keyring import KeyRing
from schema.registry import spool_keys

RSA_BITS: Final = 3072
KEY_BYTES: Final = 32  # of the agents' AES-256-GCM
_EXPONENT: Final = 65537


@dataclass(frozen=True, slots=True)
class SpoolPublicKey:
    """What agents wrap with.

    Attributes:
        der: SubjectPublicKeyInfo.
    """

    id: UUID
    der: bytes


class SpoolKeys:
    """The key pairs.

    Args:
        database: holds them.
        ring: seals the private parts.
        audit: knows of every attempt to unwrap.
        ids: of new pairs.
    """

    def __init__(self, database: Database, ring: KeyRing, audit: Audit, ids: Ids) -> None:
        self._database = database
        self._ring = ring
        self._audit = audit
        self._ids = ids
        self._current: SpoolPublicKey | None = None

    async def current(self) -> SpoolPublicKey:
        """The pair in use; the first call of an installation makes it (a second of CPU).

        Raises:
            Unavailable: the database is away.
        """
        if self._current is None:
            self._current = await self._database.run(None, _newest, read_only=True) or await self._make()
        return self._current

    async def check(self) -> None:
        """A readiness check, which makes the first pair as well. Raises as `current`."""
        await self.current()

    async def unwrap(self, caller: Caller, worker_id: WorkerId, key_id: str, wrapped: bytes) -> bytes:
        """The key of a worker's spool, for that worker alone and while it is in good standing. Always audited.

        Raises:
            PermissionDenied: WORKER_QUARANTINED or WORKER_REMOVED.
            FailedPrecondition: STATE_NOT_ALLOWED: it is in maintenance.
            InvalidField: SPOOL_KEY_INVALID: of no pair of ours, another worker's, or damaged.
        """

        async def work(tx: Tx) -> tuple[PermissionDenied | None, bytes | None]:
            refusal = await _standing(tx, worker_id)
            sealed = None if refusal else await _private_key(tx, key_id)
            details: dict[str, object] = {"key_id": key_id, "refused": refusal.reason_name if refusal else None}
            await self._audit.record(
                tx, caller, "spool_key.unwrap", target_kind="worker", target_id=worker_id, details=details
            )
            return refusal, sealed

        # The audit stays, whatever the answer is.
        refusal, sealed = await self._database.run_as_caller(caller, work)
        if refusal is not None:
            raise refusal
        if sealed is None:
            raise _invalid("key_id", "names no key pair of this installation")
        der = self._ring.decrypt(sealed, _place(UUID(key_id)))
        return await asyncio.to_thread(_unwrap, der, wrapped, str(worker_id))

    async def _make(self) -> SpoolPublicKey:
        private = await asyncio.to_thread(rsa.generate_private_key, _EXPONENT, RSA_BITS)

        async def work(tx: Tx) -> SpoolPublicKey:
            await lock(tx, ("spool-keys",))
            if (known := await _newest(tx)) is not None:
                return known  # another replica was first
            made = SpoolPublicKey(
                self._ids.uuid7(),
                private.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                ),
            )
            der = private.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            sealed = self._ring.encrypt(der, _place(made.id))
            await tx.execute(insert(spool_keys).values(id=made.id, public_key=made.der, private_key=sealed))
            return made

        return await self._database.run(None, work)


async def _newest(tx: Tx) -> SpoolPublicKey | None:
    chosen = (
        select(spool_keys.c.id, spool_keys.c.public_key)
        .where(spool_keys.c.retire_time.is_(None))
        .order_by(spool_keys.c.create_time.desc(), spool_keys.c.id.desc())
        .limit(1)
    )
    row = (await tx.execute(chosen)).first()
    return SpoolPublicKey(row.id, row.public_key) if row else None


async def _private_key(tx: Tx, key_id: str) -> bytes | None:
    try:
        named = UUID(key_id)
    except ValueError:
        return None
    sealed: bytes | None = await tx.scalar(select(spool_keys.c.private_key).where(spool_keys.c.id == named))
    return sealed


async def _standing(tx: Tx, worker_id: WorkerId) -> PermissionDenied | None:
    rows = await tx.execute(
        text("SELECT state, stolen_time, delete_time FROM workers WHERE id = :worker"), {"worker": worker_id}
    )
    row = rows.first()
    if row is None or row.delete_time is not None or row.stolen_time is not None:
        return PermissionDenied(
            "this worker was removed, or reported stolen", reason=problem_pb2.ERROR_REASON_WORKER_REMOVED
        )
    if row.state in {"QUARANTINED", "MAINTENANCE"}:
        return PermissionDenied(
            "this worker is quarantined or in maintenance", reason=problem_pb2.ERROR_REASON_WORKER_QUARANTINED
        )
    return None


def _unwrap(der: bytes, wrapped: bytes, label: str) -> bytes:
    private = serialization.load_der_private_key(der, password=None)
    if not isinstance(private, rsa.RSAPrivateKey):
        msg = "a spool key is an RSA key"
        raise TypeError(msg)
    scheme = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=label.encode())
    try:
        key = private.decrypt(wrapped, scheme)
    except ValueError:
        raise _invalid("wrapped_key", "was not wrapped for this worker with this pair") from None
    if len(key) != KEY_BYTES:
        raise _invalid("wrapped_key", f"holds no key of {KEY_BYTES} bytes")
    return key


def _invalid(field: str, description: str) -> InvalidField:
    return InvalidField(field, description, reason=problem_pb2.ERROR_REASON_SPOOL_KEY_INVALID)


def _place(key_id: UUID) -> bytes:
    return b"spool-key:" + key_id.bytes
