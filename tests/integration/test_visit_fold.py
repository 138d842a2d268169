"""The visit fold: the same sightings make the same visits, however they came, and no change goes untold."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.ids import TenantId
from stack.postgres import Postgres
from tests.support.database import TestDatabase, fresh_database
from tests.support.fold_oracle import Rule, Sighting, Visit, day_start, fold
from tests.support.folding import Place, dirty_days, insert, live_visits, refold, refold_all, set_rules, write
from tests.support.seed import seed_site, seed_tenant

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
VIENNA = ZoneInfo("Europe/Vienna")


@pytest.fixture(scope="module")
def fold_database(postgres_server: Postgres) -> Iterator[TestDatabase]:
    with fresh_database(postgres_server, f"fold_{uuid4().hex}") as made:
        yield made


@pytest.fixture
def place(fold_database: TestDatabase) -> Place:
    return new_place(fold_database)


@pytest.fixture
def ingest(fold_database: TestDatabase, place: Place) -> Iterator[psycopg.Connection]:
    """svc_ingest, at work for the place's tenant."""
    with as_ingest(fold_database, place) as connection:
        yield connection


def new_place(database: TestDatabase, zone: str = "Europe/Vienna") -> Place:
    seeded = seed_tenant(database, time_zone=zone)
    return Place(seeded.tenant_id, seeded.site_id, seeded.camera_id)


def as_ingest(database: TestDatabase, place: Place) -> psycopg.Connection:
    connection = psycopg.connect(database.url("svc_ingest"), autocommit=True)
    connection.execute("SELECT set_config('app.tenant_id', %s, false)", (str(place.tenant_id),))
    return connection


def at(clock: str, day: str = "2026-03-10", seconds: int = 60, quality: float = 0.5) -> Sighting:
    """A sighting at this Viennese time, of this length."""
    start = datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=VIENNA).astimezone(UTC)
    return Sighting(uuid4(), start, start + timedelta(seconds=seconds), quality)


def feed(connection: psycopg.Connection, place: Place) -> list[tuple[UUID, str]]:
    rows = connection.execute(
        "SELECT visit_id, kind FROM visit_feed WHERE site_id = %s ORDER BY xid, seq", (place.site_id,)
    )
    return rows.fetchall()


# -- what a visit is ----------------------------------------------------------------------------------------------


def test_a_gap_of_exactly_the_visit_gap_does_not_part_and_a_second_more_does(
    ingest: psycopg.Connection, place: Place
) -> None:
    together, apart = uuid4(), uuid4()
    write(ingest, place, together, [at("10:00", seconds=60), at("10:31:00")])
    write(ingest, place, apart, [at("10:00", seconds=60), at("10:31:01")])
    assert len(live_visits(ingest, place, together)) == 1
    assert len(live_visits(ingest, place, apart)) == 2


def test_a_visit_is_cut_at_four_and_counts_for_the_business_day_of_its_start(
    ingest: psycopg.Connection, place: Place
) -> None:
    customer = uuid4()
    write(ingest, place, customer, [at("03:50"), at("04:00")])
    assert [visit.local_date for visit in live_visits(ingest, place, customer).values()] == [
        date(2026, 3, 9),
        date(2026, 3, 10),
    ]


def test_one_short_track_tells_no_dwell(ingest: psycopg.Connection, place: Place) -> None:
    short, long, two = uuid4(), uuid4(), uuid4()
    write(ingest, place, short, [at("10:00", seconds=10)])
    write(ingest, place, long, [at("10:00", seconds=11)])
    write(ingest, place, two, [at("10:00", seconds=2), at("10:10", seconds=2)])
    dwells = [next(iter(live_visits(ingest, place, each).values())).dwell for each in (short, long, two)]
    assert dwells == [None, timedelta(seconds=11), timedelta(seconds=602)]


def test_a_new_gap_holds_from_its_time_on_and_rewrites_nothing_before(
    fold_database: TestDatabase, ingest: psycopg.Connection, place: Place
) -> None:
    noon = at("12:00").start
    with fold_database.superuser() as superuser:
        set_rules(superuser, place, [Rule(LONG_AGO), Rule(noon, gap=timedelta(minutes=5))])
    customer = uuid4()
    write(ingest, place, customer, [at("11:00"), at("11:20"), at("13:00"), at("13:20")])
    assert [len(visit.sightings) for visit in live_visits(ingest, place, customer).values()] == [2, 1, 1]


# -- who keeps the name ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made_first", ["earlier", "later"])
def test_two_visits_joined_by_a_late_sighting_keep_the_older_id(
    ingest: psycopg.Connection, place: Place, made_first: str
) -> None:
    customer = uuid4()
    order = [at("10:00"), at("10:50")] if made_first == "earlier" else [at("10:50"), at("10:00")]
    for sighting in order:
        write(ingest, place, customer, [sighting])
    oldest = ingest.execute(
        "SELECT id FROM visits WHERE customer_id = %s ORDER BY create_time LIMIT 1", (customer,)
    ).fetchone()
    write(ingest, place, customer, [at("10:25")])
    (remaining,) = live_visits(ingest, place, customer)
    assert oldest == (remaining,)
    assert ingest.execute(
        "SELECT superseded_by FROM visits WHERE customer_id = %s AND state = 'SUPERSEDED'", (customer,)
    ).fetchall() == [(remaining,)]
    assert [kind for _, kind in feed(ingest, place)] == ["CREATED", "CREATED", "UPDATED", "REMOVED"]


def test_folding_again_changes_nothing_and_tells_nobody(ingest: psycopg.Connection, place: Place) -> None:
    customer = uuid4()
    sightings = [at("10:00"), at("10:10"), at("15:00")]
    write(ingest, place, customer, sightings)
    before = (live_visits(ingest, place, customer), feed(ingest, place))
    assert refold(ingest, place, customer, sightings) == []
    assert (live_visits(ingest, place, customer), feed(ingest, place)) == before


def test_a_sighting_taken_out_of_the_middle_parts_the_visit_and_the_first_part_keeps_its_id(
    ingest: psycopg.Connection, place: Place
) -> None:
    customer = uuid4()
    middle = at("10:25")
    write(ingest, place, customer, [at("10:00"), middle, at("10:50")])
    (whole,) = live_visits(ingest, place, customer)
    ingest.execute("UPDATE face_events SET counts = false, visit_id = NULL WHERE id = %s", (middle.id,))
    refold(ingest, place, customer, [middle])
    parts = live_visits(ingest, place, customer)
    assert len(parts) == 2
    assert next(iter(parts)) == whole


def test_a_visit_without_sightings_is_retracted(ingest: psycopg.Connection, place: Place) -> None:
    customer = uuid4()
    only = at("10:00")
    write(ingest, place, customer, [only])
    (visit,) = live_visits(ingest, place, customer)
    ingest.execute("DELETE FROM face_events WHERE id = %s", (only.id,))
    assert refold(ingest, place, customer, [only]) == [(visit, "REMOVED")]
    assert ingest.execute("SELECT state FROM visits WHERE id = %s", (visit,)).fetchone() == ("RETRACTED",)


@pytest.mark.parametrize("loser_first", [False, True])
def test_a_merge_supersedes_the_visits_of_the_loser_by_those_that_took_their_sightings(
    ingest: psycopg.Connection, place: Place, loser_first: bool
) -> None:
    winner, loser = uuid4(), uuid4()
    mine, theirs, alone = at("10:00"), at("10:10"), at("18:00")
    write(ingest, place, winner, [mine])
    write(ingest, place, loser, [theirs, alone])
    (kept,) = live_visits(ingest, place, winner)
    lost = set(live_visits(ingest, place, loser))
    ingest.execute("UPDATE face_events SET customer_id = %s WHERE customer_id = %s", (winner, loser))
    for customer in (loser, winner) if loser_first else (winner, loser):
        refold(ingest, place, customer, [theirs, alone])
    after = live_visits(ingest, place, winner)
    assert live_visits(ingest, place, loser) == {}
    assert [len(visit.sightings) for visit in after.values()] == [2, 1]
    assert next(iter(after)) == kept
    heirs: dict[UUID, UUID] = dict(
        ingest.execute("SELECT id, superseded_by FROM visits WHERE customer_id = %s", (loser,)).fetchall()
    )
    assert set(heirs) == lost
    assert set(heirs.values()) == set(after)


def test_an_unmerge_gives_back_the_very_visits_that_were_there(ingest: psycopg.Connection, place: Place) -> None:
    winner, loser = uuid4(), uuid4()
    mine, theirs = [at("10:00"), at("10:40")], [at("10:20"), at("18:00")]
    write(ingest, place, winner, mine)
    write(ingest, place, loser, theirs)
    before = [list(live_visits(ingest, place, each).values()) for each in (winner, loser)]
    ingest.execute("UPDATE face_events SET customer_id = %s WHERE customer_id = %s", (winner, loser))
    for customer in (winner, loser):
        refold(ingest, place, customer, [*mine, *theirs])
    ingest.execute("UPDATE face_events SET customer_id = matched_customer_id")
    for customer in (winner, loser):
        refold(ingest, place, customer, [*mine, *theirs])
    assert [list(live_visits(ingest, place, each).values()) for each in (winner, loser)] == before


def test_a_worker_held_to_its_site_still_sees_that_a_first_visit_was_elsewhere(
    fold_database: TestDatabase, ingest: psycopg.Connection, place: Place
) -> None:
    seeded = seed_tenant_site(fold_database, place)
    customer = uuid4()
    write(ingest, place, customer, [at("10:00")])
    ingest.execute("SELECT set_config('app.site_ids', %s, false)", (f"{{{seeded.site_id}}}",))
    write(ingest, seeded, customer, [at("09:00", day="2026-03-09")])
    assert ingest.execute("SELECT current_setting('app.site_ids')").fetchone() == (f"{{{seeded.site_id}}}",)
    with fold_database.superuser() as superuser:
        marks = superuser.execute(
            "SELECT count(*) FROM dirty_days WHERE site_id = %s AND local_date = '2026-03-10'", (place.site_id,)
        ).fetchone()
    assert marks == (2,)  # once for its own visit, once because the customer is new there no more


def seed_tenant_site(database: TestDatabase, place: Place) -> Place:
    from tests.support.seed import SeededTenant

    other = seed_site(
        database, SeededTenant(TenantId(place.tenant_id), place.site_id, place.camera_id, place.camera_id)
    )
    return Place(other.tenant_id, other.site_id, other.camera_id)


# -- any order, any clock -------------------------------------------------------------------------------------------

# Around both changes of clocks of the year, where there are any; Lord Howe changes by half an hour, Kathmandu lies
# 5:45 h from UTC and never changes, Santiago changes at midnight.
ZONES = {
    "Europe/Vienna": (date(2026, 3, 28), date(2026, 10, 24)),
    "America/New_York": (date(2026, 3, 7), date(2026, 10, 31)),
    "Australia/Lord_Howe": (date(2026, 4, 4), date(2026, 10, 3)),
    "America/Santiago": (date(2026, 4, 4), date(2026, 9, 5)),
    "Asia/Kathmandu": (date(2026, 5, 1),),
}

# Multiples of five minutes over three days that begin 90 minutes before a cut; half of them within 90 minutes of one.
offsets = st.one_of(
    st.integers(0, 3 * 24 * 12).map(lambda steps: timedelta(minutes=5 * steps)),
    st.builds(lambda day, steps: timedelta(days=day, minutes=5 * steps), st.integers(0, 2), st.integers(0, 36)),
)
lengths = st.sampled_from([timedelta(), timedelta(seconds=10), timedelta(seconds=11), timedelta(minutes=70)])
rules_of = st.lists(
    st.builds(
        lambda offset, gap, boundary: (offset, timedelta(minutes=gap), timedelta(minutes=boundary)),
        offsets,
        st.sampled_from([5, 30, 300]),
        st.sampled_from([0, 150, 240, 720]),
    ),
    max_size=2,
    unique_by=lambda rule: rule[0],
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[str, list[Rule], list[list[tuple[int, Sighting]]]]:
    """A zone, rules, and batches of sightings (by one of two sites) in the order of their arrival."""
    zone = draw(st.sampled_from(sorted(ZONES)))
    rules = [Rule(LONG_AGO)]
    start = day_start(draw(st.sampled_from(ZONES[zone])), ZoneInfo(zone), rules) - timedelta(minutes=90)
    rules += [Rule(start + offset, gap=gap, boundary=boundary) for offset, gap, boundary in draw(rules_of)]
    seen = draw(st.lists(st.tuples(st.integers(0, 1), offsets, lengths, st.integers(0, 3)), min_size=1, max_size=14))
    sightings = [
        (site, Sighting(uuid4(), start + offset, start + offset + length, quality / 4))
        for site, offset, length, quality in seen
    ]
    cuts = sorted(draw(st.sets(st.integers(1, len(sightings)), max_size=4)) | {0, len(sightings)})
    return zone, rules, [sightings[a:b] for a, b in pairwise(cuts)]


def numbers(by_site: Sequence[Sequence[Visit]]) -> dict[tuple[int, date], tuple[int, int, int]]:
    """Visits, unique and new visitors of one customer, by site and day."""
    first = min((visit.start, visit.local_date) for visits in by_site for visit in visits)[1]
    counted: dict[tuple[int, date], int] = defaultdict(int)
    for site, visits in enumerate(by_site):
        for visit in visits:
            counted[site, visit.local_date] += 1
    return {key: (count, 1, int(key[1] == first)) for key, count in counted.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories())
def test_visits_are_the_same_in_any_order_and_every_altered_day_is_marked(
    fold_database: TestDatabase, story: tuple[str, list[Rule], list[list[tuple[int, Sighting]]]]
) -> None:
    zone, rules, batches = story
    first = new_place(fold_database, zone)
    second = seed_tenant_site(fold_database, first)
    places = (first, second)
    with fold_database.superuser() as superuser:
        superuser.execute("UPDATE sites SET time_zone = %s WHERE id = %s", (zone, second.site_id))
        for each in places:
            set_rules(superuser, each, rules)
    customer = uuid4()
    arrived: tuple[list[Sighting], list[Sighting]] = ([], [])
    before: dict[tuple[int, date], tuple[int, int, int]] = {}
    with as_ingest(fold_database, first) as ingest, psycopg.connect(fold_database.superuser_url) as auditor:
        auditor.autocommit = True
        for batch in batches:
            auditor.execute("DELETE FROM dirty_days")
            for site, one in batch:
                arrived[site].append(one)
            for site in {site for site, _ in batch}:
                write(ingest, places[site], customer, [one for where, one in batch if where == site])
            expected = [fold(sightings, ZoneInfo(zone), rules) for sightings in arrived]
            actual = [list(live_visits(ingest, each, customer).values()) for each in places]
            assert actual == expected
            after = numbers(expected)
            altered = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
            marked = {(site, day) for site, each in enumerate(places) for day in dirty_days(auditor, each)}
            assert altered <= marked
            before = after
        assert_nobody_is_lost(ingest, places)


def assert_nobody_is_lost(connection: psycopg.Connection, places: Sequence[Place]) -> None:
    """Whoever follows superseded_by arrives at a live visit, and the feed has told of every visit's last state."""
    rows = connection.execute("SELECT id, state, superseded_by FROM visits").fetchall()
    visits = {id_: (state, heir) for id_, state, heir in rows}
    for id_ in visits:
        current = id_
        while visits[current][1] is not None:
            current = visits[current][1]
        assert visits[current][0] == "LIVE" or visits[id_][0] == "RETRACTED"
    last = {visit: kind for place in places for visit, kind in feed(connection, place)}
    assert {id_: state == "LIVE" for id_, (state, _) in visits.items()} == {
        id_: kind != "REMOVED" for id_, kind in last.items()
    }


def test_a_shuffled_week_of_one_regular_folds_as_in_order(
    fold_database: TestDatabase, ingest: psycopg.Connection, place: Place
) -> None:
    chance = random.Random(7)  # noqa: S311 - a shuffle, not a secret
    week = [
        at(
            f"{chance.randint(8, 20):02}:{chance.randint(0, 59):02}",
            day=f"2026-03-{day:02}",
            seconds=chance.randint(0, 90),
        )
        for day in range(9, 16)
        for _ in range(8)
    ]
    in_order, shuffled = uuid4(), uuid4()
    write(ingest, place, in_order, sorted(week, key=lambda each: each.start))
    copies = [Sighting(uuid4(), each.start, each.end, each.quality) for each in week]
    chance.shuffle(copies)
    for copy in copies:
        write(ingest, place, shuffled, [copy])
    spans = [
        [(visit.start, visit.end, len(visit.sightings)) for visit in live_visits(ingest, place, each).values()]
        for each in (in_order, shuffled)
    ]
    assert spans[0] == spans[1]


# -- many at once ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(), chance=st.randoms(use_true_random=False))
def test_a_batch_makes_what_one_by_one_makes_in_whatever_order_it_is_asked(
    fold_database: TestDatabase, story: tuple[str, list[Rule], list[list[tuple[int, Sighting]]]], chance: random.Random
) -> None:
    zone, rules, batches = story
    # Twins: the same sightings of the same customers, in two tenants.
    twins = []
    for _ in range(2):
        first = new_place(fold_database, zone)
        twins.append((first, seed_tenant_site(fold_database, first)))
    with fold_database.superuser() as superuser:
        for each in (place for twin in twins for place in twin):
            superuser.execute("UPDATE sites SET time_zone = %s WHERE id = %s", (zone, each.site_id))
            set_rules(superuser, each, rules)
    customers = (uuid4(), uuid4())
    with as_ingest(fold_database, twins[0][0]) as singly, as_ingest(fold_database, twins[1][0]) as at_once:
        for batch in batches:
            seen: dict[tuple[int, UUID], list[Sighting]] = defaultdict(list)
            for site, one in batch:
                seen[site, chance.choice(customers)].append(one)
            told: list[list[str]] = [[], []]
            for (site, customer), sightings in seen.items():
                insert(singly, twins[0][site], customer, sightings)
                told[0] += [kind for _, kind in refold(singly, twins[0][site], customer, sightings)]
                insert(at_once, twins[1][site], customer, sightings)
            asked = [(twins[1][site], customer, sightings) for (site, customer), sightings in seen.items()]
            chance.shuffle(asked)
            told[1] += [kind for _, kind in refold_all(at_once, asked)]
            assert sorted(told[0]) == sorted(told[1])
        for site in range(2):
            for customer in customers:
                alone = live_visits(singly, twins[0][site], customer)
                together = live_visits(at_once, twins[1][site], customer)
                assert list(together.values()) == list(alone.values())
            assert sorted(kind for _, kind in feed(at_once, twins[1][site])) == sorted(
                kind for _, kind in feed(singly, twins[0][site])
            )
        with fold_database.superuser() as auditor:
            assert [dirty_days(auditor, place) for place in twins[1]] == [
                dirty_days(auditor, place) for place in twins[0]
            ]


def test_a_pair_that_a_batch_names_twice_is_folded_once_over_both_spans(
    ingest: psycopg.Connection, place: Place
) -> None:
    customer = uuid4()
    early, late = at("10:00"), at("15:00", day="2026-03-12")
    insert(ingest, place, customer, [early, late])
    told = refold_all(ingest, [(place, customer, [early]), (place, customer, [late])])
    assert sorted(kind for _, kind in told) == ["CREATED", "CREATED"]
    assert [visit.first for visit in live_visits(ingest, place, customer).values()] == [early.id, late.id]


def test_a_batch_changes_nothing_the_second_time(ingest: psycopg.Connection, place: Place) -> None:
    asked = [(place, uuid4(), [at("10:00"), at("10:10"), at("15:00")]) for _ in range(3)]
    for _, customer, sightings in asked:
        insert(ingest, place, customer, sightings)
    assert len(refold_all(ingest, asked)) == 6
    before = feed(ingest, place)
    assert refold_all(ingest, asked) == []
    assert feed(ingest, place) == before


@pytest.mark.parametrize("loser_first", [False, True])
def test_a_batch_merges_as_one_by_one_does(ingest: psycopg.Connection, place: Place, loser_first: bool) -> None:
    winner, loser = uuid4(), uuid4()
    mine, theirs, alone = at("10:00"), at("10:10"), at("18:00")
    write(ingest, place, winner, [mine])
    write(ingest, place, loser, [theirs, alone])
    (kept,) = live_visits(ingest, place, winner)
    lost = set(live_visits(ingest, place, loser))
    ingest.execute("UPDATE face_events SET customer_id = %s WHERE customer_id = %s", (winner, loser))
    both = (loser, winner) if loser_first else (winner, loser)
    told = refold_all(ingest, [(place, customer, [theirs, alone]) for customer in both])
    assert sorted(kind for _, kind in told) == ["CREATED", "REMOVED", "REMOVED", "UPDATED"]
    after = live_visits(ingest, place, winner)
    assert live_visits(ingest, place, loser) == {}
    assert [len(visit.sightings) for visit in after.values()] == [2, 1]
    assert next(iter(after)) == kept
    heirs: dict[UUID, UUID] = dict(
        ingest.execute("SELECT id, superseded_by FROM visits WHERE customer_id = %s", (loser,)).fetchall()
    )
    assert heirs.keys() == lost
    assert set(heirs.values()) == set(after)


def test_a_visit_whose_sightings_went_to_two_customers_of_a_batch_has_one_heir(
    ingest: psycopg.Connection, place: Place
) -> None:
    loser, first, second = uuid4(), uuid4(), uuid4()
    one, other = at("10:00"), at("10:10")
    write(ingest, place, loser, [one, other])
    (lost,) = live_visits(ingest, place, loser)
    for customer, sighting in ((first, one), (second, other)):
        ingest.execute("UPDATE face_events SET customer_id = %s WHERE id = %s", (customer, sighting.id))
    told = refold_all(ingest, [(place, customer, [one, other]) for customer in (second, loser, first)])
    assert [kind for _, kind in told].count("REMOVED") == 1
    heirs = {**live_visits(ingest, place, first), **live_visits(ingest, place, second)}
    assert len(heirs) == 2
    ((state, heir),) = ingest.execute("SELECT state, superseded_by FROM visits WHERE id = %s", (lost,)).fetchall()
    assert state == "SUPERSEDED"
    assert heir in heirs


def test_a_batch_with_a_site_that_is_not_the_tenants_is_refused(
    fold_database: TestDatabase, ingest: psycopg.Connection, place: Place
) -> None:
    elsewhere = new_place(fold_database)
    mine, theirs = (place, uuid4(), [at("10:00")]), (elsewhere, uuid4(), [at("10:00")])
    insert(ingest, place, mine[1], mine[2])
    with pytest.raises(psycopg.errors.NoDataFound, match="no such site"):
        refold_all(ingest, [mine, theirs])
    assert live_visits(ingest, place, mine[1]) == {}
