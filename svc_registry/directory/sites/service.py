"""The use cases of sites. Each runs in the transaction that it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from footfall.type.v1 import problem_pb2

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Tx, notify
from mesh.errors import FailedPrecondition, InvalidField, NotFound, PermissionDenied
from mesh.ids import Ids, SiteId
from schema.registry import sites
from svc_registry.directory.sites import store
from svc_registry.directory.sites.domain import (
    MOST_UPCOMING,
    Site,
    SiteRules,
    first_version,
    in_force,
    keeps_less,
    opening_problem,
)
from svc_registry.hints import DESIRED
from svc_registry.room import Room, check_room

_KIND: Final = "site"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """
    Attributes:
        audit, clock, ids: given.
        room: for how many.
    """

    audit: Audit
    clock: Clock
    ids: Ids
    room: Room = field(default_factory=Room)

    async def get(self, tx: Tx, site_id: SiteId) -> Site:
        """One site, closed or not.

        Raises:
            NotFound: not the caller's tenant's, or none of the caller's sites.
        """
        site = await store.get_site(tx, site_id, self.clock.now())
        if site is None:
            raise NotFound(_KIND, site_id)
        return site

    async def create(self, tx: Tx, caller: Caller, draft: Site) -> Site:
        """Makes a site of the draft, whose id and times are the registry's to give.

        Raises:
            InvalidField: a time zone or opening hours that cannot be.
            PermissionDenied: SITE_NOT_ALLOWED, the caller is held to its own sites.
            FailedPrecondition: LIMIT_REACHED.
        """
        if caller.site_ids is not None:
            raise PermissionDenied("you are held to your own sites", reason=problem_pb2.ERROR_REASON_SITE_NOT_ALLOWED)
        _check_zone(draft.time_zone)
        _check_rules(draft.rules)
        await check_room(tx, sites, self.room.sites_per_tenant, sites.c.delete_time.is_(None))
        now = self.clock.now()
        site_id = SiteId(self.ids.uuid7(now))
        made = replace(draft, id=site_id, create_time=now, rules=first_version(draft.rules))
        await store.insert_site(tx, caller.tenant, made)
        details = {"privacy_mode": made.privacy_mode.name, "time_zone": made.time_zone}
        await self.audit.record(tx, caller, "site.create", target_kind=_KIND, target_id=site_id, details=details)
        await notify(tx, DESIRED)
        return await self.get(tx, site_id)

    async def update(
        self,
        tx: Tx,
        caller: Caller,
        site_id: SiteId,
        change: Callable[[Site], Site],
        change_rules: Callable[[SiteRules], SiteRules] | None,
    ) -> Site:
        """Changes a site.

        Args:
            change: everything but the rules, from what is stored to what shall be.
            change_rules: from the version that is in force at its effective_time (None: now) to the new one; None: the
                rules stay.

        Raises:
            NotFound: no such open site of the caller's.
            InvalidField: as `create`.
            FailedPrecondition: the time zone of a site with visits (STATE_NOT_ALLOWED), a privacy mode that keeps more
                (PRIVACY_MODE_FORBIDS), an eleventh version to come (LIMIT_REACHED).
        """
        before = await self._open_site(tx, site_id)
        after = change(before)
        await self._check_change(tx, before, after)
        await store.update_site(tx, after)
        if change_rules is not None:
            await self._put_rules(tx, caller, before, change_rules)
        details = {"privacy_mode": after.privacy_mode.name, "rules": change_rules is not None}
        await self.audit.record(tx, caller, "site.update", target_kind=_KIND, target_id=site_id, details=details)
        await notify(tx, DESIRED)
        return await self.get(tx, site_id)

    async def delete(self, tx: Tx, caller: Caller, site_id: SiteId) -> None:
        """Closes a site for ever.

        Raises:
            NotFound: no such open site of the caller's.
            FailedPrecondition: IN_USE, it has cameras or workers.
        """
        await self._open_site(tx, site_id)
        if await store.is_in_use(tx, site_id):
            raise FailedPrecondition("the site still has cameras or workers", reason=problem_pb2.ERROR_REASON_IN_USE)
        await store.close_site(tx, site_id)
        await self.audit.record(tx, caller, "site.delete", target_kind=_KIND, target_id=site_id)
        await notify(tx, DESIRED)

    async def _open_site(self, tx: Tx, site_id: SiteId) -> Site:
        site = await store.get_site(tx, site_id, self.clock.now(), lock=True)
        if site is None or site.delete_time is not None:
            raise NotFound(_KIND, site_id)
        return site

    async def _check_change(self, tx: Tx, before: Site, after: Site) -> None:
        if after.time_zone != before.time_zone:
            _check_zone(after.time_zone)
            if await store.has_visits(tx, before.id):
                raise FailedPrecondition(
                    "the site has visits, whose days and hours its time zone decides", metadata={"state": "HAS_VISITS"}
                )
        if not keeps_less(before.privacy_mode, after.privacy_mode):
            raise FailedPrecondition(
                "visitors were told of less: a privacy mode changes towards less data only",
                reason=problem_pb2.ERROR_REASON_PRIVACY_MODE_FORBIDS,
                metadata={"privacy_mode": before.privacy_mode.name},
            )

    async def _put_rules(
        self, tx: Tx, caller: Caller, before: Site, change_rules: Callable[[SiteRules], SiteRules]
    ) -> None:
        now = self.clock.now()
        versions = [before.rules, *before.upcoming_rules]
        asked = change_rules(before.rules).effective_time
        effective_time = now if asked is None or asked <= now else asked
        after = change_rules(in_force(versions, effective_time))
        _check_rules(after)
        known = {rules.effective_time for rules in before.upcoming_rules}
        if effective_time > now and len(known | {effective_time}) > MOST_UPCOMING:
            raise FailedPrecondition(
                f"a site has at most {MOST_UPCOMING} versions of rules to come",
                reason=problem_pb2.ERROR_REASON_LIMIT_REACHED,
            )
        await store.put_rules(tx, caller.tenant, before.id, effective_time, after)


# Files beside the database's own. PostgreSQL knows neither, so no visit could be counted by it.
_THIS_MACHINES: Final = frozenset({"localtime", "posixrules"})


def _check_zone(name: str) -> None:
    unknown = InvalidField("site.time_zone", "is not in the IANA time zone database")
    if name in _THIS_MACHINES:
        raise unknown
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise unknown from None


def _check_rules(rules: SiteRules) -> None:
    for name, span in (("visit_gap", rules.visit_gap), ("minimum_dwell", rules.minimum_dwell)):
        if span.microseconds:
            raise InvalidField(f"site.rules.{name}", "must be whole seconds")
    if rules.opening_hours is not None and (problem := opening_problem(rules.opening_hours)) is not None:
        raise InvalidField("site.rules.opening_hours.spans", problem)
