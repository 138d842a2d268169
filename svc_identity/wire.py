"""What every servicer of identity needs between protobuf and the domain."""

from __future__ import annotations

from typing import Any

from svc_identity.matching.domain import Person, PersonKind


def person_field(person: Person | None) -> dict[str, Any]:
    """The one field of the oneof `person` that names somebody."""
    if person is None:
        return {}
    return {"staff_id" if person.kind is PersonKind.STAFF else "customer_id": str(person.id)}
