"""One RPC is one transaction: in the caller's tenant, held to the caller's sites, and acting once per request id."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from mesh.access import Role
from mesh.auth import Caller, current_caller
from mesh.database import Database, Tx
from mesh.idempotency import once
from mesh.ids import TenantId
from mesh.keyring import KeyRing
from schema.registry import registry_requests

T = TypeVar("T")
ResponseT = TypeVar("ResponseT", bound=Message)
Work: TypeAlias = Callable[[Tx, Caller], Awaitable[T]]


class Transactions:
    """Opens the transaction that a servicer's use case runs in.

    Args:
        database: as svc_registry.
        ring: keys the digests of secrets in kept request hashes.
    """

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._secret_keys = ring.derive("request-secrets")

    async def read(self, work: Work[T], tenant_id: TenantId | None = None) -> T:
        """Runs `work` in a read-only transaction.

        Args:
            work: the use case.
            tenant_id: where another tenant than the caller's is read: the list of all tenants.
        """
        caller = current_caller()
        # Whoever has sites sees these alone; a worker too, when it reads what people read.
        site_ids = caller.site_ids if caller.role is Role.WORKER else caller.visible_sites
        async with self._database.transaction(
            tenant_id or caller.acting_tenant, site_ids=site_ids, read_only=True
        ) as tx:
            return await work(tx, caller)

    async def write(self, request: Message, response_type: type[ResponseT], work: Work[ResponseT]) -> ResponseT:
        """Runs `work` in a transaction, once per request id; a repeat gets the first answer.

        Args:
            request: with its request_id; secrets in it are kept as keyed digests only.
            response_type: of the answer.
            work: the use case; may run several times when PostgreSQL asks for it.
        """
        caller = current_caller()
        kept = without_secrets(request, self._secret_keys[0])

        async def attempt(tx: Tx) -> ResponseT:
            return await once(
                tx, registry_requests, caller, kept, lambda: work(tx, caller), response_type=response_type
            )

        return await self._database.run_as_caller(caller, attempt)


def without_secrets(message: Message, key: bytes) -> Message:
    """A copy in which every field marked `debug_redact` holds a keyed digest of itself.

    The sha256 of a request is kept for a day: of a password's request it would be an invitation to guess.
    """
    copy: Message = type(message)()
    copy.CopyFrom(message)
    _digest_secrets(copy, key)
    return copy


def _digest_secrets(message: Any, key: bytes) -> None:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for part in value if field.is_repeated else (value,):
                if isinstance(part, Message):  # not the key of a map
                    _digest_secrets(part, key)
        elif field.GetOptions().debug_redact:
            raw = value.encode() if isinstance(value, str) else bytes(value)
            digest = hmac.digest(key, raw, hashlib.sha256)
            setattr(message, field.name, digest.hex() if isinstance(value, str) else digest)
