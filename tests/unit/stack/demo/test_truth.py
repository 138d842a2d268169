"""The truth is counted by the definitions of the product, and by nothing of its code."""

from datetime import UTC, datetime, timedelta

import pytest

from stack.demo.truth import Counts, Film, Passage, SiteRules, truth

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RULES = {"a": SiteRules("UTC"), "b": SiteRules("UTC")}


def _film(site: str, at: datetime, *people: str) -> Film:
    """Each person for two seconds, ten seconds apart."""
    passages = tuple(Passage(person, 10.0 * index, 10.0 * index + 2) for index, person in enumerate(people))
    return Film(f"{site}-door", site, at, 10.0 * len(people), passages)


def test_passages_within_the_visit_gap_are_one_visit() -> None:
    counted = truth([_film("a", NOON, "p"), _film("a", NOON + timedelta(minutes=30, seconds=2), "p")], RULES)
    assert counted.total == Counts(visits=1, unique=1, new=1, returning=0)
    assert counted.visits[0].sightings == 2
    assert counted.sightings == 2


def test_a_longer_gap_makes_another_visit_of_the_same_visitor() -> None:
    counted = truth([_film("a", NOON, "p"), _film("a", NOON + timedelta(minutes=30, seconds=3), "p")], RULES)
    assert counted.total == Counts(visits=2, unique=1, new=1, returning=0)


def test_the_gap_counts_from_the_last_sighting_and_not_from_the_first() -> None:
    films = [_film("a", NOON + timedelta(minutes=25 * index), "p") for index in range(4)]
    assert truth(films, RULES).total.visits == 1


def test_two_sites_are_two_visits_of_one_visitor() -> None:
    counted = truth([_film("a", NOON, "p"), _film("b", NOON + timedelta(minutes=1), "p")], RULES)
    assert counted.total == Counts(visits=2, unique=1, new=1, returning=0)
    assert counted.sites["a"].unique == counted.sites["b"].unique == 1


def test_who_came_before_at_any_site_is_returning() -> None:
    counted = truth([_film("a", NOON, "p"), _film("b", NOON + timedelta(days=1), "p", "q")], RULES)
    by_day = {(day.date, day.site): day.counts for day in counted.days}
    assert by_day["2026-03-02", None] == Counts(1, 1, 1, 0)
    assert by_day["2026-03-03", "b"] == Counts(visits=2, unique=2, new=1, returning=1)
    assert by_day["2026-03-03", None] == Counts(visits=2, unique=2, new=1, returning=1)
    assert ("2026-03-03", "a") not in by_day
    assert counted.total == Counts(visits=3, unique=2, new=2, returning=0)


def test_a_visit_is_cut_where_the_business_day_begins() -> None:
    before_four = datetime(2026, 3, 2, 3, 50, tzinfo=UTC)
    counted = truth([_film("a", before_four, "p"), _film("a", before_four + timedelta(minutes=15), "p")], RULES)
    assert counted.total.visits == 2
    at_midnight = datetime(2026, 3, 2, 23, 50, tzinfo=UTC)
    counted = truth([_film("a", at_midnight, "p"), _film("a", at_midnight + timedelta(minutes=15), "p")], RULES)
    assert counted.total.visits == 1
    assert [day.counts.visits for day in counted.days if day.site is None] == [1, 0]


def test_four_in_the_morning_is_the_wall_clock_s() -> None:
    rules = {"a": SiteRules("Europe/Amsterdam")}
    # The night of 28 to 29 March 2026 is an hour short: 04:00 there is 02:00 UTC.
    before, after = datetime(2026, 3, 29, 1, 55, tzinfo=UTC), datetime(2026, 3, 29, 2, 5, tzinfo=UTC)
    assert truth([_film("a", before, "p"), _film("a", after, "p")], rules).total.visits == 2


def test_staff_are_not_counted() -> None:
    counted = truth([_film("a", NOON, "p", "s")], RULES, frozenset({"s"}))
    assert counted.total.unique == 1
    assert (counted.sightings, counted.staff_sightings) == (1, 1)
    assert {visit.person for visit in counted.visits} == {"p"}


def test_new_and_returning_make_up_unique_everywhere() -> None:
    films = [_film("ab"[i % 2], NOON + timedelta(hours=7 * i), *("pqrs"[: 1 + i % 4])) for i in range(12)]
    for day in truth(films, RULES).days:
        assert day.counts.new + day.counts.returning == day.counts.unique <= day.counts.visits


def test_a_film_of_an_unknown_site_is_refused() -> None:
    with pytest.raises(KeyError):
        truth([_film("z", NOON, "p")], RULES)
