"""The audit's rows, inserted in the act's own transaction: ids, never names. Sealing and reading are svc_reports'.

await audit.record(tx, caller, "site.create", target_kind="site", target_id=site.id, details={"privacy_mode": "FULL"})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Table, insert

from mesh.auth import Caller
from mesh.database import Tx
from mesh.ids import Ids

SERVICE: Final = "SERVICE"  # kinds of actor, beside a token's USER and API_KEY
OPERATOR: Final = "OPERATOR"


class Audit:
    """Writes audit entries.

    Args:
        table: audit_entries, to which every service may INSERT.
        service: that writes, e.g. "svc_registry".
        ids: of the entries.
    """

    def __init__(self, table: Table, service: str, ids: Ids) -> None:
        self._table = table
        self._service = service
        self._ids = ids

    async def record(
        self,
        tx: Tx,
        caller: Caller,
        action: str,
        *,
        target_kind: str | None = None,
        target_id: UUID | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Adds one entry to the transaction; it exists exactly when the act does.

        Args:
            tx: the act's own.
            caller: who acts; the entry belongs to the tenant that it acts in.
            action: what it did, as kind.verb: "site.create", "customer.merge", "session.sign_in".
            target_kind, target_id: to what.
            details: ids and numbers, JSON.
        """
        await tx.execute(
            insert(self._table).values(
                tenant_id=caller.acting_tenant,
                id=self._ids.uuid7(),
                service=self._service,
                actor_kind=caller.subject_kind or (OPERATOR if caller.peer == "operator" else SERVICE),
                actor_id=caller.subject_id,
                actor_role=caller.role.value if caller.role else None,
                action=action,
                target_kind=target_kind,
                target_id=target_id,
                request_id=_uuid(caller.request_id),
                details=dict(details or {}),
            )
        )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None  # a caller's own word; the log has it
