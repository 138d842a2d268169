"""A person who signs in, and what a change of them means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from mesh.ids import SiteId, UserId
from mesh.roles import Role


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored; the password's hash never leaves the store."""

    id: UserId
    email: str
    display_name: str
    role: Role
    site_ids: frozenset[SiteId]
    disabled: bool
    create_time: datetime
    update_time: datetime
    sign_in_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserDraft:
    """A user to be made."""

    email: str
    display_name: str
    role: Role
    site_ids: frozenset[SiteId]
    disabled: bool
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class UserChange:
    """New values; None: as before."""

    email: str | None = None
    display_name: str | None = None
    role: Role | None = None
    site_ids: frozenset[SiteId] | None = None
    disabled: bool | None = None


def changed(user: User, change: UserChange) -> User:
    """The user with its new values."""
    return replace(
        user,
        email=user.email if change.email is None else change.email,
        display_name=user.display_name if change.display_name is None else change.display_name,
        role=user.role if change.role is None else change.role,
        site_ids=user.site_ids if change.site_ids is None else change.site_ids,
        disabled=user.disabled if change.disabled is None else change.disabled,
    )


def changes_rights(before: User, after: User) -> bool:
    """Whether tokens that were issued before say something that is no longer true."""
    return (before.role, before.site_ids) != (after.role, after.site_ids) or (after.disabled and not before.disabled)


def administers(user: User, administrator: Role) -> bool:
    """Whether the user counts as one who can still run the tenant."""
    return user.role is administrator and not user.disabled
