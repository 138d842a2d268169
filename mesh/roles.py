"""The roles of people, keys and machines: words alone, so that rules may use them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person, a key or a machine may do; the words of the token's `role` claim.

    Equal to footfall.registry.v1.Role without its prefix; a test compares them.
    """

    SYSTEM_ADMIN = "SYSTEM_ADMIN"
    TENANT_ADMIN = "TENANT_ADMIN"
    SITE_MANAGER = "SITE_MANAGER"
    VIEWER = "VIEWER"
    PRIVACY_OFFICER = "PRIVACY_OFFICER"
    WORKER = "WORKER"


ADMINS: Final = frozenset({Role.SYSTEM_ADMIN, Role.TENANT_ADMIN})
MANAGERS: Final = ADMINS | {Role.SITE_MANAGER}
READERS: Final = MANAGERS | {Role.VIEWER, Role.PRIVACY_OFFICER}
WORKERS: Final = frozenset({Role.WORKER})
