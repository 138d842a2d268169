"""Tenants, sites and cameras: what the directory promises, asked over mTLS of a registry on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from footfall.registry.v1 import (
    camera_pb2,
    camera_pb2_grpc,
    role_pb2,
    site_pb2,
    site_pb2_grpc,
    source_pb2,
    tenant_pb2,
    tenant_pb2_grpc,
)
from footfall.type.v1 import calendar_pb2, face_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import SystemClock
from mesh.database import Database
from mesh.hints import Listener
from mesh.ids import CameraId, SystemIds
from mesh.keyring import Key, KeyRing
from mesh.tls import Tls
from svc_registry.access.signing.service import SigningKeys
from svc_registry.directory.cameras.credentials import unseal
from svc_registry.directory.cameras.domain import Credentials
from svc_registry.directory.cameras.resealing import Resealing
from svc_registry.hints import DESIRED
from svc_registry.wiring import NAME
from tests.support.database import TestDatabase
from tests.support.registry import (
    MASTER_KEYS,
    MovableClock,
    Registry,
    Shop,
    refusal,
    running_registry,
    violations,
)

Peers = Callable[[str], Tls]
Tenants = tenant_pb2_grpc.TenantServiceStub
Sites = site_pb2_grpc.SiteServiceStub
Cameras = camera_pb2_grpc.CameraServiceStub


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def registry(database: TestDatabase, peers: Peers, clock: MovableClock) -> AsyncIterator[Registry]:
    async with running_registry(database, peers, clock=clock) as running:
        yield running


@pytest.fixture
async def shop(registry: Registry) -> Shop:
    return await registry.tenant()


@pytest.fixture
def tenants(registry: Registry) -> Tenants:
    return Tenants(registry.channel(registry.admin))


@pytest.fixture
def sites(registry: Registry, shop: Shop) -> Sites:
    return Sites(registry.channel(shop.token))


@pytest.fixture
def cameras(registry: Registry, shop: Shop) -> Cameras:
    return Cameras(registry.channel(shop.token))


async def manager(shop: Shop, *site_ids: str) -> str:
    """A site manager's token."""
    _, session = await shop.user(role_pb2.ROLE_SITE_MANAGER, *site_ids)
    return session.access_token


def duration(span: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(span)
    return made


# -- tenants ----------------------------------------------------------------------------------------------------------


async def test_a_tenants_answer_has_every_setting(tenants: Tenants) -> None:
    wanted = tenant_pb2.Tenant(display_name="Acme")
    made = (await tenants.CreateTenant(tenant_pb2.CreateTenantRequest(tenant=wanted))).tenant
    assert UUID(made.id).version == 7
    assert made.state == tenant_pb2.TENANT_STATE_ACTIVE
    assert made.settings.first_day_of_week == calendar_pb2.WEEKDAY_MONDAY
    assert made.settings.image_retention_days == 30
    assert made.settings.embedding_retention_days == 365
    assert (await tenants.GetTenant(tenant_pb2.GetTenantRequest(id=made.id))).tenant == made


async def test_tenants_are_listed_by_name_page_by_page(tenants: Tenants) -> None:
    for name in ("beta", "Alpha", "gamma", "Alpha"):
        wanted = tenant_pb2.Tenant(display_name=name)
        made = (await tenants.CreateTenant(tenant_pb2.CreateTenantRequest(tenant=wanted))).tenant
    await tenants.DeleteTenant(tenant_pb2.DeleteTenantRequest(id=made.id))
    names, token = [], ""
    while True:
        page = await tenants.ListTenants(tenant_pb2.ListTenantsRequest(page_size=2, page_token=token))
        names += [tenant.display_name for tenant in page.tenants]
        if not (token := page.next_page_token):
            break
    assert names == ["Alpha", "beta", "gamma"]
    everything = await tenants.ListTenants(tenant_pb2.ListTenantsRequest(show_deleted=True))
    assert [tenant.display_name for tenant in everything.tenants] == ["Alpha", "Alpha", "beta", "gamma"]


async def test_a_page_token_of_another_query_is_refused(tenants: Tenants) -> None:
    for name in ("a", "b"):
        wanted = tenant_pb2.Tenant(display_name=name)
        await tenants.CreateTenant(tenant_pb2.CreateTenantRequest(tenant=wanted))
    page = await tenants.ListTenants(tenant_pb2.ListTenantsRequest(page_size=1))
    other = tenant_pb2.ListTenantsRequest(page_size=1, page_token=page.next_page_token, show_deleted=True)
    assert await refusal(tenants.ListTenants(other)) == "PAGE_TOKEN_INVALID"


async def test_a_tenants_people_see_and_change_their_own_and_no_other(registry: Registry, shop: Shop) -> None:
    other = await registry.tenant("Other")
    own = Tenants(registry.channel(shop.token))
    got = await own.GetTenant(tenant_pb2.GetTenantRequest(id=str(shop.tenant_id)))
    assert got.tenant.display_name == "Acme"
    change = tenant_pb2.UpdateTenantRequest(
        tenant=tenant_pb2.Tenant(id=str(shop.tenant_id), display_name="Acme & Co"),
        update_mask=FieldMask(paths=["display_name"]),
    )
    assert (await own.UpdateTenant(change)).tenant.display_name == "Acme & Co"
    for foreign in (str(other.tenant_id), str(uuid4()), str(UUID(int=0))):
        assert await refusal(own.GetTenant(tenant_pb2.GetTenantRequest(id=foreign))) == "NOT_FOUND"
        change.tenant.id = foreign
        assert await refusal(own.UpdateTenant(change)) == "NOT_FOUND"
    assert await refusal(own.ListTenants(tenant_pb2.ListTenantsRequest())) == "ROLE_NOT_ALLOWED"
    _, viewer = await shop.user(role_pb2.ROLE_VIEWER)
    theirs = Tenants(registry.channel(viewer.access_token))
    assert (await theirs.GetTenant(tenant_pb2.GetTenantRequest(id=str(shop.tenant_id)))).tenant.id
    change.tenant.id = str(shop.tenant_id)
    assert await refusal(theirs.UpdateTenant(change)) == "ROLE_NOT_ALLOWED"


async def test_a_setting_that_is_named_changes_alone(tenants: Tenants, shop: Shop) -> None:
    tenant_id = str(shop.tenant_id)

    async def change(settings: tenant_pb2.TenantSettings, *paths: str) -> tenant_pb2.TenantSettings:
        request = tenant_pb2.UpdateTenantRequest(
            tenant=tenant_pb2.Tenant(id=tenant_id, settings=settings), update_mask=FieldMask(paths=paths)
        )
        return (await tenants.UpdateTenant(request)).tenant.settings

    wanted = tenant_pb2.TenantSettings(
        image_retention_days=7,
        allow_global_search=True,
        embedding_spaces=["arcface@1"],
        match_policies=[tenant_pb2.MatchPolicy(embedding_space="arcface@1", threshold=0.5)],
    )
    assert (await change(wanted, "settings.image_retention_days")).allow_global_search is False
    whole = await change(wanted, "settings")
    assert whole.image_retention_days == 7
    assert whole.embedding_spaces == ["arcface@1"]
    assert whole.match_policies[0].threshold == 0.5
    assert not whole.match_policies[0].HasField("founding_quality")
    assert whole.embedding_retention_days == 365
    back = await change(tenant_pb2.TenantSettings(), "settings.image_retention_days")
    assert back.image_retention_days == 30
    assert back.allow_global_search


async def test_a_deletion_can_be_taken_back_for_thirty_days(
    registry: Registry, tenants: Tenants, shop: Shop, clock: MovableClock
) -> None:
    tenant_id = str(shop.tenant_id)
    deleted = (await tenants.DeleteTenant(tenant_pb2.DeleteTenantRequest(id=tenant_id))).tenant
    assert deleted.state == tenant_pb2.TENANT_STATE_DELETED
    assert deleted.purge_time.ToDatetime() - deleted.delete_time.ToDatetime() == timedelta(days=30)
    again = (await tenants.DeleteTenant(tenant_pb2.DeleteTenantRequest(id=tenant_id))).tenant
    assert again == deleted
    clock.advance(timedelta(days=29, hours=23))
    tenants = Tenants(registry.channel((await registry.by_password("root@footfall.test")).access_token))
    back = (await tenants.UndeleteTenant(tenant_pb2.UndeleteTenantRequest(id=tenant_id))).tenant
    assert back.state == tenant_pb2.TENANT_STATE_ACTIVE
    await tenants.DeleteTenant(tenant_pb2.DeleteTenantRequest(id=tenant_id))
    clock.advance(timedelta(days=30))
    tenants = Tenants(registry.channel((await registry.by_password("root@footfall.test")).access_token))
    assert await refusal(tenants.UndeleteTenant(tenant_pb2.UndeleteTenantRequest(id=tenant_id))) == "NOT_FOUND"
    assert not (await tenants.ListTenants(tenant_pb2.ListTenantsRequest(show_deleted=True))).tenants


async def test_a_repeated_creation_makes_one_tenant(tenants: Tenants) -> None:
    request = tenant_pb2.CreateTenantRequest(tenant=tenant_pb2.Tenant(display_name="Acme"), request_id=str(uuid4()))
    assert await tenants.CreateTenant(request) == await tenants.CreateTenant(request)
    assert len((await tenants.ListTenants(tenant_pb2.ListTenantsRequest())).tenants) == 1


async def test_a_system_admin_cannot_look_into_a_tenant_that_is_not_there(registry: Registry) -> None:
    sites = Sites(registry.channel(registry.admin, tenant_id=uuid4()))
    assert await refusal(sites.ListSites(site_pb2.ListSitesRequest())) == "NOT_FOUND"


# -- sites ------------------------------------------------------------------------------------------------------------


async def test_a_sites_answer_has_every_rule(shop: Shop, sites: Sites) -> None:
    made = await shop.site()
    assert made.rules.visit_gap.ToTimedelta() == timedelta(minutes=30)
    assert made.rules.minimum_dwell.ToTimedelta() == timedelta(seconds=10)
    assert made.rules.business_day_start_minute == 240
    assert not made.rules.HasField("opening_hours")
    assert not made.rules.HasField("effective_time")
    assert (await sites.GetSite(site_pb2.GetSiteRequest(id=made.id))).site == made


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"time_zone": "Europe/Nowhere"}, "site.time_zone"),
        ({"time_zone": "localtime"}, "site.time_zone"),
        ({"time_zone": "posixrules"}, "site.time_zone"),
        ({"signage_date": "2026-02-30"}, "site.signage_date"),
        (
            {"rules": site_pb2.SiteRules(visit_gap=duration(timedelta(seconds=1, milliseconds=500)))},
            "site.rules.visit_gap",
        ),
        (
            {
                "rules": site_pb2.SiteRules(
                    opening_hours=site_pb2.OpeningHours(
                        spans=[
                            site_pb2.OpeningSpan(weekday=calendar_pb2.WEEKDAY_MONDAY, open_minute=0, close_minute=100),
                            site_pb2.OpeningSpan(weekday=calendar_pb2.WEEKDAY_MONDAY, open_minute=99, close_minute=200),
                        ]
                    )
                )
            },
            "site.rules.opening_hours.spans",
        ),
        (
            {"rules": site_pb2.SiteRules(opening_hours=site_pb2.OpeningHours(closed_dates=["2026-02-29"]))},
            "site.rules.opening_hours.closed_dates[0]",
        ),
    ],
)
async def test_a_site_that_cannot_be_is_refused_by_field(shop: Shop, wanted: dict[str, Any], field: str) -> None:
    assert await violations(shop.site(**wanted)) == [field]


async def change_rules(
    sites: Sites, site_id: str, effective_time: datetime | None = None, **rules: Any
) -> site_pb2.Site:
    wanted = site_pb2.SiteRules(**rules)
    if effective_time is not None:
        wanted.effective_time.FromDatetime(effective_time)
    request = site_pb2.UpdateSiteRequest(
        site=site_pb2.Site(id=site_id, rules=wanted),
        update_mask=FieldMask(paths=[f"rules.{name}" for name in rules]),
    )
    return (await sites.UpdateSite(request)).site


async def test_rules_change_from_their_time_on_and_every_version_is_kept(
    registry: Registry, shop: Shop, sites: Sites, clock: MovableClock
) -> None:
    site = await shop.site()
    later = clock.now().replace(microsecond=0) + timedelta(minutes=5)
    changed = await change_rules(sites, site.id, visit_gap=duration(timedelta(minutes=20)))
    assert changed.rules.visit_gap.ToTimedelta() == timedelta(minutes=20)
    assert changed.rules.HasField("effective_time")
    changed = await change_rules(sites, site.id, later, business_day_start_minute=0)
    assert changed.rules.business_day_start_minute == 240
    (to_come,) = changed.upcoming_rules
    assert to_come.effective_time.ToDatetime(UTC) == later
    assert to_come.business_day_start_minute == 0
    assert to_come.visit_gap.ToTimedelta() == timedelta(minutes=20), "as the version before"
    clock.advance(timedelta(minutes=6))
    now = (await sites.GetSite(site_pb2.GetSiteRequest(id=site.id))).site
    assert now.rules == to_come
    assert not now.upcoming_rules
    listed, token = [], ""
    while True:
        page = await sites.ListSiteRules(site_pb2.ListSiteRulesRequest(site_id=site.id, page_size=2, page_token=token))
        listed += list(page.rules)
        if not (token := page.next_page_token):
            break
    assert [rules.HasField("effective_time") for rules in listed] == [True, True, False]
    assert listed[0] == to_come
    assert listed[2].visit_gap.ToTimedelta() == timedelta(minutes=30)


async def test_opening_hours_come_back_as_they_were_set(shop: Shop) -> None:
    span = site_pb2.OpeningSpan(weekday=calendar_pb2.WEEKDAY_SATURDAY, open_minute=600, close_minute=1560)
    hours = site_pb2.OpeningHours(spans=[span], closed_dates=["2026-12-25"])
    assert (await shop.site(rules=site_pb2.SiteRules(opening_hours=hours))).rules.opening_hours == hours
    shut = site_pb2.SiteRules(opening_hours=site_pb2.OpeningHours())
    assert (await shop.site(rules=shut)).rules.HasField("opening_hours"), "closed all week is not: not said"


async def test_ten_versions_may_be_to_come_and_no_more(shop: Shop, sites: Sites, clock: MovableClock) -> None:
    site, day = await shop.site(), timedelta(days=1)
    for number in range(10):
        await change_rules(sites, site.id, clock.now() + (number + 1) * day, business_day_start_minute=number)
    with pytest.raises(grpc.aio.AioRpcError, match="at most 10"):
        await change_rules(sites, site.id, clock.now() + 11 * day, business_day_start_minute=0)


async def test_privacy_changes_towards_less_data_only(shop: Shop, sites: Sites) -> None:
    site = await shop.site(privacy_mode=site_pb2.PRIVACY_MODE_NO_SNAPSHOTS)

    def change(mode: site_pb2.PrivacyMode.ValueType) -> Any:
        request = site_pb2.UpdateSiteRequest(
            site=site_pb2.Site(id=site.id, privacy_mode=mode), update_mask=FieldMask(paths=["privacy_mode"])
        )
        return sites.UpdateSite(request)

    assert await refusal(change(site_pb2.PRIVACY_MODE_FULL)) == "PRIVACY_MODE_FORBIDS"
    assert (await change(site_pb2.PRIVACY_MODE_ANONYMOUS)).site.privacy_mode == site_pb2.PRIVACY_MODE_ANONYMOUS


async def test_a_site_with_visits_keeps_its_time_zone(shop: Shop, sites: Sites, database: TestDatabase) -> None:
    site = await shop.site()

    def change(zone: str) -> Any:
        request = site_pb2.UpdateSiteRequest(
            site=site_pb2.Site(id=site.id, time_zone=zone), update_mask=FieldMask(paths=["time_zone"])
        )
        return sites.UpdateSite(request)

    assert (await change("America/New_York")).site.time_zone == "America/New_York"
    with database.superuser() as connection:
        connection.execute("SET session_replication_role = replica")  # no need of the customer's row
        connection.execute(
            "INSERT INTO visits (tenant_id, id, customer_id, site_id, local_date, start_time, end_time, sighting_count,"
            " first_event_id, best_event_id, first_camera_id, last_camera_id)"
            " VALUES (%s, %s, %s, %s, now()::date, now(), now(), 1, %s, %s, %s, %s)",
            (shop.tenant_id, uuid4(), uuid4(), site.id, *(uuid4() for _ in range(4))),
        )
    assert await refusal(change("Europe/Vienna")) == "STATE_NOT_ALLOWED"


async def test_a_site_that_is_used_is_not_closed(shop: Shop, sites: Sites, cameras: Cameras) -> None:
    site, staffed = await shop.site("With a camera"), await shop.site("With a worker")
    camera = await shop.camera(site.id)
    await shop.worker_key(staffed.id)
    for used in (site, staffed):
        assert await refusal(sites.DeleteSite(site_pb2.DeleteSiteRequest(id=used.id))) == "IN_USE"
    await cameras.DeleteCamera(camera_pb2.DeleteCameraRequest(id=camera.id))
    await sites.DeleteSite(site_pb2.DeleteSiteRequest(id=site.id))
    assert (await sites.GetSite(site_pb2.GetSiteRequest(id=site.id))).site.HasField("delete_time")
    assert await refusal(sites.DeleteSite(site_pb2.DeleteSiteRequest(id=site.id))) == "NOT_FOUND"
    assert [left.id for left in (await sites.ListSites(site_pb2.ListSitesRequest())).sites] == [staffed.id]
    assert len((await sites.ListSites(site_pb2.ListSitesRequest(show_deleted=True))).sites) == 2
    assert await refusal(shop.camera(site.id)) == "NOT_FOUND"


async def test_a_site_manager_is_held_to_its_sites(registry: Registry, shop: Shop) -> None:
    mine, yours = await shop.site("Mine"), await shop.site("Yours")
    sites = Sites(registry.channel(await manager(shop, mine.id)))
    assert [site.id for site in (await sites.ListSites(site_pb2.ListSitesRequest())).sites] == [mine.id]
    renamed = site_pb2.UpdateSiteRequest(
        site=site_pb2.Site(id=mine.id, display_name="My own"), update_mask=FieldMask(paths=["display_name"])
    )
    assert (await sites.UpdateSite(renamed)).site.display_name == "My own"
    renamed.site.id = yours.id
    assert await refusal(sites.UpdateSite(renamed)) == "NOT_FOUND"
    assert await refusal(sites.GetSite(site_pb2.GetSiteRequest(id=yours.id))) == "NOT_FOUND"
    assert await refusal(sites.ListSiteRules(site_pb2.ListSiteRulesRequest(site_id=yours.id))) == "NOT_FOUND"
    assert await refusal(sites.DeleteSite(site_pb2.DeleteSiteRequest(id=mine.id))) == "ROLE_NOT_ALLOWED"


async def test_a_viewer_of_some_sites_sees_no_others(registry: Registry, shop: Shop) -> None:
    mine, _ = await shop.site("Mine"), await shop.site("Yours")
    _, held = await shop.user(role_pb2.ROLE_VIEWER, mine.id)
    _, free = await shop.user(role_pb2.ROLE_VIEWER)
    for session, count in ((held, 1), (free, 2)):
        sites = Sites(registry.channel(session.access_token))
        assert len((await sites.ListSites(site_pb2.ListSitesRequest())).sites) == count


async def test_another_tenants_sites_are_as_absent_ones(registry: Registry, shop: Shop) -> None:
    foreign = await shop.site()
    sites = Sites(registry.channel((await registry.tenant("Other")).token))
    for site_id in (foreign.id, str(uuid4())):
        change = site_pb2.UpdateSiteRequest(
            site=site_pb2.Site(id=site_id, display_name="x"), update_mask=FieldMask(paths=["display_name"])
        )
        assert await refusal(sites.GetSite(site_pb2.GetSiteRequest(id=site_id))) == "NOT_FOUND"
        assert await refusal(sites.UpdateSite(change)) == "NOT_FOUND"
        assert await refusal(sites.DeleteSite(site_pb2.DeleteSiteRequest(id=site_id))) == "NOT_FOUND"
        assert await refusal(sites.ListSiteRules(site_pb2.ListSiteRulesRequest(site_id=site_id))) == "NOT_FOUND"
    assert not (await sites.ListSites(site_pb2.ListSitesRequest())).sites


# -- cameras ----------------------------------------------------------------------------------------------------------


async def test_a_cameras_answer_has_every_setting_and_no_password(
    shop: Shop, cameras: Cameras, database: TestDatabase
) -> None:
    site = await shop.site()
    source = source_pb2.CameraSource(uri="rtsp://cam-1/live", username="admin", password="s3cret")
    made = await shop.camera(site.id, source=source)
    assert made.source.has_credentials
    assert made.source.username == made.source.password == ""
    assert made.settings.frame_rate == 8
    assert made.settings.min_face_pixels == 40
    assert made.settings.motion_gate
    assert made.settings.snapshots
    assert made.state == camera_pb2.CAMERA_STATE_UNASSIGNED
    assert (await cameras.GetCamera(camera_pb2.GetCameraRequest(id=made.id))).camera == made
    assert stored_credentials(database, made.id) == Credentials("admin", "s3cret")


def stored_credentials(database: TestDatabase, camera_id: str, ring: KeyRing | None = None) -> Credentials | None:
    with database.superuser() as connection:
        row = connection.execute("SELECT credentials FROM cameras WHERE id = %s", (camera_id,)).fetchone()
    assert row is not None
    if row[0] is None:
        return None
    assert b"s3cret" not in row[0]
    return unseal(ring or KeyRing.parse(MASTER_KEYS), CameraId(UUID(camera_id)), bytes(row[0]))


async def test_a_password_stays_with_its_host(shop: Shop, cameras: Cameras, database: TestDatabase) -> None:
    site = await shop.site()
    source = source_pb2.CameraSource(uri="rtsp://cam-1/live", username="admin", password="s3cret")
    camera = await shop.camera(site.id, source=source)

    async def write(**wanted: Any) -> bool:
        request = camera_pb2.UpdateCameraRequest(
            camera=camera_pb2.Camera(id=camera.id, source=source_pb2.CameraSource(**wanted)),
            update_mask=FieldMask(paths=["source"]),
        )
        return (await cameras.UpdateCamera(request)).camera.source.has_credentials

    assert await write(uri="rtsp://cam-1/other")
    assert stored_credentials(database, camera.id) == Credentials("admin", "s3cret")
    assert not await write(uri="rtsp://evil.test/live")
    assert stored_credentials(database, camera.id) is None
    assert await write(uri="rtsp://cam-2/live", username="root", password="other")
    assert not await write(uri="rtsp://cam-2/live", clear_credentials=True)


async def test_after_a_new_master_key_the_old_one_may_go(shop: Shop, database: TestDatabase) -> None:
    site = await shop.site()
    source = source_pb2.CameraSource(uri="rtsp://cam-1/live", username="admin", password="s3cret")
    camera = await shop.camera(site.id, source=source)
    await shop.camera(site.id, "without a password")
    new = KeyRing([Key("new", b"n" * 32)])
    both = KeyRing([Key("new", b"n" * 32), Key("test", bytes(range(32)))])
    async with Database.connect(database.url(NAME)) as connected:
        await Resealing(connected, both).run()
        await Resealing(connected, new).run()
        policy = shop.registry.settings.rotation
        await SigningKeys(connected, both, policy, SystemClock(), SystemIds()).rotate()
        keys = SigningKeys(connected, new, policy, SystemClock(), SystemIds())
        await keys.rotate()
        assert len((await keys.jwks())["keys"]) == 1, "the same key, and not a new one"
    assert stored_credentials(database, camera.id, new) == Credentials("admin", "s3cret")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"source": source_pb2.CameraSource(uri="rtsp://user:pass@cam/1")}, "camera.source.uri"),
        ({"source": source_pb2.CameraSource(uri="ftp://cam/1")}, "camera.source.uri"),
        (
            {"source": source_pb2.CameraSource(uri="rtsp://cam/1", recording_start_time=Timestamp(seconds=1))},
            "camera.source.recording_start_time",
        ),
        (
            {
                "masks": [
                    camera_pb2.Mask(corners=[face_pb2.Point(x=x, y=y) for x, y in ((0, 0), (1, 1), (1, 0), (0, 1))])
                ]
            },
            "camera.masks[0].corners",
        ),
        ({"settings": camera_pb2.CameraSettings(frame_rate=100)}, "camera.settings.frame_rate"),
    ],
)
async def test_a_camera_that_cannot_be_is_refused_by_field(shop: Shop, wanted: dict[str, Any], field: str) -> None:
    site = await shop.site()
    assert await violations(shop.camera(site.id, **wanted)) == [field]


async def test_what_is_named_changes_and_the_rest_stays(shop: Shop, cameras: Cameras) -> None:
    site = await shop.site()
    corners = [face_pb2.Point(x=x, y=y) for x, y in ((0, 0), (0.5, 0), (0, 0.5))]
    camera = await shop.camera(
        site.id,
        masks=[camera_pb2.Mask(corners=corners)],
        settings=camera_pb2.CameraSettings(frame_rate=4, motion_gate=False),
        outage_policy=camera_pb2.OUTAGE_POLICY_FAILOVER,
    )
    request = camera_pb2.UpdateCameraRequest(
        camera=camera_pb2.Camera(id=camera.id, display_name="Back door", disabled=True),
        update_mask=FieldMask(paths=["display_name", "disabled"]),
    )
    after = (await cameras.UpdateCamera(request)).camera
    assert (after.display_name, after.disabled) == ("Back door", True)
    assert after.state == camera_pb2.CAMERA_STATE_DISABLED
    assert after.masks == camera.masks
    assert after.settings == camera.settings
    assert after.outage_policy == camera_pb2.OUTAGE_POLICY_FAILOVER
    partly = camera_pb2.UpdateCameraRequest(
        camera=camera_pb2.Camera(id=camera.id), update_mask=FieldMask(paths=["settings.frame_rate", "outage_policy"])
    )
    after = (await cameras.UpdateCamera(partly)).camera
    assert after.settings.frame_rate == 8
    assert not after.settings.motion_gate
    assert after.outage_policy == camera_pb2.OUTAGE_POLICY_UNSPECIFIED


async def test_a_camera_taken_away_is_watched_by_nobody_and_keeps_no_password(
    shop: Shop, cameras: Cameras, database: TestDatabase
) -> None:
    site = await shop.site()
    source = source_pb2.CameraSource(uri="rtsp://cam-1/live", username="admin", password="s3cret")
    camera, key = await shop.camera(site.id, source=source), await shop.worker_key(site.id)
    with database.superuser() as connection:
        connection.execute(
            "INSERT INTO lease_epochs (tenant_id, camera_id, epoch, site_id, worker_id, generation, grant_time)"
            " VALUES (%s, %s, 1, %s, %s, 1, now())",
            (shop.tenant_id, camera.id, site.id, key.api_key.worker_id),
        )
        connection.execute(
            "INSERT INTO leases (tenant_id, camera_id, site_id, state, epoch, worker_id, generation, outage_policy)"
            " VALUES (%s, %s, %s, 'ACTIVE', 1, %s, 1, 'PINNED')"
            " ON CONFLICT (tenant_id, camera_id) DO UPDATE SET state = 'ACTIVE', epoch = 1, worker_id = %s",
            (shop.tenant_id, camera.id, site.id, key.api_key.worker_id, key.api_key.worker_id),
        )
    await cameras.DeleteCamera(camera_pb2.DeleteCameraRequest(id=camera.id))
    assert stored_credentials(database, camera.id) is None
    with database.superuser() as connection:
        assert connection.execute("SELECT state, worker_id FROM leases").fetchall() == [("RELEASED", None)]
        assert connection.execute("SELECT count(*) FROM lease_epochs WHERE end_time IS NULL").fetchone() == (0,)
    gone = (await cameras.GetCamera(camera_pb2.GetCameraRequest(id=camera.id))).camera
    assert gone.HasField("delete_time")
    assert await refusal(cameras.DeleteCamera(camera_pb2.DeleteCameraRequest(id=camera.id))) == "NOT_FOUND"
    assert not (await cameras.ListCameras(camera_pb2.ListCamerasRequest())).cameras
    assert len((await cameras.ListCameras(camera_pb2.ListCamerasRequest(show_deleted=True))).cameras) == 1


async def test_cameras_are_listed_by_name_by_site_and_by_role(shop: Shop, cameras: Cameras) -> None:
    one, two = await shop.site("One"), await shop.site("Two")
    await shop.camera(one.id, "b")
    await shop.camera(one.id, "C", role=camera_pb2.CAMERA_ROLE_OUTSIDE)
    await shop.camera(two.id, "a")
    names, token = [], ""
    while True:
        page = await cameras.ListCameras(camera_pb2.ListCamerasRequest(page_size=1, page_token=token))
        names += [camera.display_name for camera in page.cameras]
        if not (token := page.next_page_token):
            break
    assert names == ["a", "b", "C"]
    at_one = await cameras.ListCameras(camera_pb2.ListCamerasRequest(site_ids=[one.id]))
    assert [camera.display_name for camera in at_one.cameras] == ["b", "C"]
    outside = await cameras.ListCameras(camera_pb2.ListCamerasRequest(roles=[camera_pb2.CAMERA_ROLE_OUTSIDE]))
    assert [camera.display_name for camera in outside.cameras] == ["C"]


async def test_a_site_manager_has_the_cameras_of_its_sites(registry: Registry, shop: Shop) -> None:
    mine, yours = await shop.site("Mine"), await shop.site("Yours")
    await shop.camera(mine.id)
    foreign = await shop.camera(yours.id)
    cameras = Cameras(registry.channel(await manager(shop, mine.id)))
    assert [camera.site_id for camera in (await cameras.ListCameras(camera_pb2.ListCamerasRequest())).cameras] == [
        mine.id
    ]
    assert await refusal(cameras.GetCamera(camera_pb2.GetCameraRequest(id=foreign.id))) == "NOT_FOUND"
    assert await refusal(cameras.DeleteCamera(camera_pb2.DeleteCameraRequest(id=foreign.id))) == "NOT_FOUND"
    listing = cameras.ListCameras(camera_pb2.ListCamerasRequest(site_ids=[yours.id]))
    assert await refusal(listing) == "SITE_NOT_ALLOWED"
    wanted = camera_pb2.Camera(
        site_id=yours.id,
        display_name="x",
        role=camera_pb2.CAMERA_ROLE_ENTRANCE,
        source=source_pb2.CameraSource(uri="usb:0"),
    )
    creation = cameras.CreateCamera(camera_pb2.CreateCameraRequest(camera=wanted))
    assert await refusal(creation) == "SITE_NOT_ALLOWED"
    wanted.site_id = mine.id
    assert (await cameras.CreateCamera(camera_pb2.CreateCameraRequest(camera=wanted))).camera.id


async def test_another_tenants_cameras_are_as_absent_ones(registry: Registry, shop: Shop) -> None:
    foreign = await shop.camera((await shop.site()).id)
    cameras = Cameras(registry.channel((await registry.tenant("Other")).token))
    for camera_id in (foreign.id, str(uuid4())):
        change = camera_pb2.UpdateCameraRequest(
            camera=camera_pb2.Camera(id=camera_id, display_name="x"), update_mask=FieldMask(paths=["display_name"])
        )
        assert await refusal(cameras.GetCamera(camera_pb2.GetCameraRequest(id=camera_id))) == "NOT_FOUND"
        assert await refusal(cameras.UpdateCamera(change)) == "NOT_FOUND"
        assert await refusal(cameras.DeleteCamera(camera_pb2.DeleteCameraRequest(id=camera_id))) == "NOT_FOUND"


async def test_viewers_and_workers_have_no_business_with_cameras(registry: Registry, shop: Shop) -> None:
    site = await shop.site()
    _, viewer = await shop.user(role_pb2.ROLE_VIEWER)
    worker = await registry.by_api_key((await shop.worker_key(site.id)).secret)
    for session in (viewer, worker):
        call = Cameras(registry.channel(session.access_token)).ListCameras(camera_pb2.ListCamerasRequest())
        assert await refusal(call) == "ROLE_NOT_ALLOWED"


async def test_whoever_assigns_cameras_hears_of_a_change_at_once(shop: Shop, database: TestDatabase) -> None:
    listener = Listener(database.url(NAME), [DESIRED], poll_seconds=60)
    site = await shop.site()
    listening = asyncio.create_task(listener.run())
    try:
        await listener.wait(DESIRED, 0)  # connected
        seen = listener.seen(DESIRED)
        await shop.camera(site.id)
        async with asyncio.timeout(10):
            await listener.wait(DESIRED, seen)
        assert listener.seen(DESIRED) > seen
    finally:
        listening.cancel()


async def test_a_tenant_has_room_for_so_many_and_no_more(database: TestDatabase, peers: Peers) -> None:
    settings = {"most_sites": 2, "most_cameras": 1, "most_users": 2, "most_api_keys": 1}
    async with running_registry(database, peers, settings=settings) as registry:
        shop = await registry.tenant()
        one, two = await shop.site(), await shop.site()
        assert await refusal(shop.site()) == "LIMIT_REACHED"
        camera = await shop.camera(one.id)
        assert await refusal(shop.camera(one.id)) == "LIMIT_REACHED"
        await shop.camera(two.id)
        await Cameras(registry.channel(shop.token)).DeleteCamera(camera_pb2.DeleteCameraRequest(id=camera.id))
        await shop.camera(one.id)
        await shop.worker_key(one.id)
        assert await refusal(shop.worker_key(one.id)) == "LIMIT_REACHED"
        await shop.user(role_pb2.ROLE_VIEWER)
        assert await refusal(shop.user(role_pb2.ROLE_VIEWER)) == "LIMIT_REACHED"


async def test_testing_a_source_is_not_built_yet(cameras: Cameras) -> None:
    call = cameras.TestSource(source_pb2.TestSourceRequest(camera_id=str(uuid4())))
    assert await refusal(call) == "NOT_BUILT_YET"
