"""SiteService, between protobuf and the domain."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from footfall.registry.v1 import site_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from mesh.auth import Caller, current_caller
from mesh.clock import Clock
from mesh.database import Tx
from mesh.errors import InvalidField
from mesh.ids import SiteId
from mesh.interceptors.base import Context
from mesh.paging import PageTokens, page_size
from mesh.wire import duration, moment, timestamp
from svc_registry.directory.sites import store
from svc_registry.directory.sites.domain import OpeningHours, OpeningSpan, PrivacyMode, Site, SiteRules
from svc_registry.directory.sites.service import Sites
from svc_registry.transactions import Transactions
from svc_registry.wire import local_date, merged

_RULES: Final = "rules"
_UNSET: Final = SiteId(UUID(int=0))  # of a draft; the registry gives the id


class SiteServicer:
    """The RPCs of SiteService."""

    def __init__(self, sites: Sites, transactions: Transactions, pages: PageTokens, clock: Clock) -> None:
        self._sites = sites
        self._transactions = transactions
        self._pages = pages
        self._clock = clock

    async def ListSites(self, request: site_pb2.ListSitesRequest, _context: Context) -> site_pb2.ListSitesResponse:
        tenant_id, size = current_caller().tenant, page_size(request.page_size)
        position = self._pages.decode(request, tenant_id)

        async def work(tx: Tx, _caller: Caller) -> list[Site]:
            after = position[0] if position else None
            return await store.list_sites(tx, self._clock.now(), after, size + 1, show_deleted=request.show_deleted)

        found = await self._transactions.read(work)
        response = site_pb2.ListSitesResponse(sites=[to_proto(site) for site in found[:size]])
        if len(found) > size:
            response.next_page_token = self._pages.encode(request, tenant_id, [found[size - 1].id])
        return response

    async def GetSite(self, request: site_pb2.GetSiteRequest, _context: Context) -> site_pb2.GetSiteResponse:
        site = await self._transactions.read(lambda tx, _caller: self._sites.get(tx, SiteId(UUID(request.id))))
        return site_pb2.GetSiteResponse(site=to_proto(site))

    async def CreateSite(self, request: site_pb2.CreateSiteRequest, _context: Context) -> site_pb2.CreateSiteResponse:
        now = self._clock.now()
        blank = Site(_UNSET, "", "", SiteRules(), (), PrivacyMode.FULL, "", None, now, now)
        draft = replace(_values(blank, request.site), rules=_rules(request.site.rules, SiteRules()))

        async def work(tx: Tx, caller: Caller) -> site_pb2.CreateSiteResponse:
            return site_pb2.CreateSiteResponse(site=to_proto(await self._sites.create(tx, caller, draft)))

        return await self._transactions.write(request, site_pb2.CreateSiteResponse, work)

    async def UpdateSite(self, request: site_pb2.UpdateSiteRequest, _context: Context) -> site_pb2.UpdateSiteResponse:
        named = list(request.update_mask.paths)
        rules_named = [path.removeprefix("rules.") for path in named if path.startswith(_RULES)]
        values_named = [path for path in named if not path.startswith(_RULES)]

        def change(before: Site) -> Site:
            return _values(before, merged("site", to_proto(before), request.site, FieldMask(paths=values_named)))

        def change_rules(before: SiteRules) -> SiteRules:
            wanted = merged("site.rules", _rules_to_proto(before), request.site.rules, FieldMask(paths=rules_named))
            wanted.ClearField("effective_time")
            if request.site.rules.HasField("effective_time"):
                wanted.effective_time.CopyFrom(request.site.rules.effective_time)
            return _rules(wanted, before)

        async def work(tx: Tx, caller: Caller) -> site_pb2.UpdateSiteResponse:
            site = await self._sites.update(
                tx, caller, SiteId(UUID(request.site.id)), change, change_rules if rules_named else None
            )
            return site_pb2.UpdateSiteResponse(site=to_proto(site))

        return await self._transactions.write(request, site_pb2.UpdateSiteResponse, work)

    async def DeleteSite(self, request: site_pb2.DeleteSiteRequest, _context: Context) -> site_pb2.DeleteSiteResponse:
        async def work(tx: Tx, caller: Caller) -> site_pb2.DeleteSiteResponse:
            await self._sites.delete(tx, caller, SiteId(UUID(request.id)))
            return site_pb2.DeleteSiteResponse()

        return await self._transactions.write(request, site_pb2.DeleteSiteResponse, work)

    async def ListSiteRules(
        self, request: site_pb2.ListSiteRulesRequest, _context: Context
    ) -> site_pb2.ListSiteRulesResponse:
        tenant_id, size = current_caller().tenant, page_size(request.page_size)
        position = self._pages.decode(request, tenant_id)
        after = datetime.fromisoformat(position[0]) if position else None
        site_id = SiteId(UUID(request.site_id))

        async def work(tx: Tx, _caller: Caller) -> list[tuple[datetime, SiteRules]]:
            await self._sites.get(tx, site_id)
            return await store.list_versions(tx, site_id, after, size + 1)

        found = await self._transactions.read(work)
        response = site_pb2.ListSiteRulesResponse(rules=[_rules_to_proto(rules) for _, rules in found[:size]])
        if len(found) > size:
            response.next_page_token = self._pages.encode(request, tenant_id, [found[size - 1][0]])
        return response


def _values(before: Site, wanted: site_pb2.Site) -> Site:
    """`before` with everything but id, rules and times from the request."""
    for field in ("display_name", "time_zone", "lawful_basis"):
        if not getattr(wanted, field):
            raise InvalidField(f"site.{field}", "must not be empty")
    if not wanted.privacy_mode:
        raise InvalidField("site.privacy_mode", "must not be empty")
    return replace(
        before,
        display_name=wanted.display_name,
        time_zone=wanted.time_zone,
        privacy_mode=PrivacyMode(wanted.privacy_mode),
        lawful_basis=wanted.lawful_basis,
        signage_date=local_date("site.signage_date", wanted.signage_date),
    )


def _rules(wanted: site_pb2.SiteRules, base: SiteRules) -> SiteRules:
    """The rules of a request; what is absent is as in `base`."""
    return SiteRules(
        effective_time=(
            moment("site.rules.effective_time", wanted.effective_time) if wanted.HasField("effective_time") else None
        ),
        visit_gap=wanted.visit_gap.ToTimedelta() if wanted.HasField("visit_gap") else base.visit_gap,
        minimum_dwell=wanted.minimum_dwell.ToTimedelta() if wanted.HasField("minimum_dwell") else base.minimum_dwell,
        business_day_start_minute=(
            wanted.business_day_start_minute
            if wanted.HasField("business_day_start_minute")
            else base.business_day_start_minute
        ),
        opening_hours=_opening_hours(wanted.opening_hours) if wanted.HasField("opening_hours") else base.opening_hours,
    )


def _opening_hours(wanted: site_pb2.OpeningHours) -> OpeningHours:
    field = "site.rules.opening_hours.closed_dates"
    closed = [local_date(f"{field}[{index}]", value) for index, value in enumerate(wanted.closed_dates)]
    return OpeningHours(
        tuple(OpeningSpan(span.weekday, span.open_minute, span.close_minute) for span in wanted.spans),
        tuple(day for day in closed if day is not None),
    )


def _rules_to_proto(rules: SiteRules) -> site_pb2.SiteRules:
    hours = rules.opening_hours
    return site_pb2.SiteRules(
        effective_time=timestamp(rules.effective_time),
        visit_gap=duration(rules.visit_gap),
        minimum_dwell=duration(rules.minimum_dwell),
        business_day_start_minute=rules.business_day_start_minute,
        opening_hours=None
        if hours is None
        else site_pb2.OpeningHours(
            spans=[
                site_pb2.OpeningSpan(
                    weekday=span.weekday,  # type: ignore[arg-type]  # ISO 8601 numbers, as the enum's
                    open_minute=span.open_minute,
                    close_minute=span.close_minute,
                )
                for span in hours.spans
            ],
            closed_dates=[day.isoformat() for day in hours.closed_dates],
        ),
    )


def to_proto(site: Site) -> site_pb2.Site:
    """The site as the contract has it."""
    return site_pb2.Site(
        id=str(site.id),
        display_name=site.display_name,
        time_zone=site.time_zone,
        rules=_rules_to_proto(site.rules),
        upcoming_rules=[_rules_to_proto(rules) for rules in site.upcoming_rules],
        privacy_mode=site.privacy_mode.value,  # type: ignore[arg-type]  # the contract's numbers
        lawful_basis=site.lawful_basis,
        signage_date=site.signage_date.isoformat() if site.signage_date else "",
        create_time=timestamp(site.create_time),
        update_time=timestamp(site.update_time),
        delete_time=timestamp(site.delete_time),
    )
