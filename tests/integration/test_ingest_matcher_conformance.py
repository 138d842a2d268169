"""Whatever decides who faces are, decides like this: the fake, the fake behind the wire, and svc_identity itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from mesh.channels import channel
from mesh.errors import Unavailable
from mesh.ids import EventId, SiteId, TenantId
from mesh.tls import Tls
from svc_ingest.events.domain import Decision, Reason, Verdict
from svc_ingest.events.identity import IdentityMatcher
from svc_ingest.events.matching import MOST_FACES, FaceQuery, FakeMatcher, Matcher
from tests.support.database import TestDatabase
from tests.support.identity import SPACE, running_identity
from tests.support.ingest import IDS, now, vector
from tests.support.ingest_peers import running_matcher
from tests.support.mesh import TokenIssuer
from tests.support.ports import free_port
from tests.support.seed import SeededTenant, seed_tenant


@dataclass
class Bench:
    """A matcher and a tenant to ask it for."""

    matcher: Matcher
    tenant: SeededTenant
    other: SeededTenant

    def query(self, person: object, *, quality: float = 0.9, noise: float = 0.0, seed: object = 0) -> FaceQuery:
        at = now()
        site = SiteId(self.tenant.site_id)
        shot = vector(person, noise=noise, seed=seed)
        return FaceQuery(EventId(IDS.uuid7(at)), site, at, SPACE, shot, quality)

    async def ask(self, *faces: FaceQuery, tenant: UUID | None = None) -> list[Decision]:
        return list(await self.matcher.match(TenantId(tenant or self.tenant.tenant_id), faces))


@pytest.fixture(params=["fake", "fake behind the wire", "svc_identity"])
async def bench(
    request: pytest.FixtureRequest, database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> AsyncIterator[Bench]:
    tenants = (seed_tenant(database), seed_tenant(database, name="Other"))
    fake = FakeMatcher()
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            yield Bench(fake, *tenants)
            return
        issuer = TokenIssuer()
        if request.param == "svc_identity":
            target = (await stack.enter_async_context(running_identity(database, peers, tmp_path))).target
        else:
            server = await stack.enter_async_context(running_matcher(peers, issuer, fake))
            target = f"127.0.0.1:{server.port}"
        opened = await stack.enter_async_context(channel(target, "svc-identity", peers("svc-ingest")))
        yield Bench(IdentityMatcher(opened), *tenants)


async def test_a_good_face_that_resembles_nobody_founds_a_customer(bench: Bench) -> None:
    query = bench.query("anna")
    (decision,) = await bench.ask(query)
    assert decision.verdict is Verdict.ENROLLED
    assert decision.customer_id is not None
    assert decision.staff_id is None
    assert decision.embedding_id == query.event_id
    assert decision.similarity is None  # there was nobody to compare with


async def test_asked_again_a_face_gets_its_first_decision(bench: Bench) -> None:
    query = bench.query("anna")
    (first,) = await bench.ask(query)
    (again,) = await bench.ask(query)
    assert (again.verdict, again.customer_id, again.embedding_id) == (
        first.verdict,
        first.customer_id,
        first.embedding_id,
    )


async def test_another_shot_of_a_known_person_is_matched(bench: Bench) -> None:
    (founder,) = await bench.ask(bench.query("anna"))
    (shot,) = await bench.ask(bench.query("anna", noise=0.3))
    assert shot.verdict is Verdict.MATCHED
    assert (shot.customer_id, shot.embedding_id) == (founder.customer_id, founder.embedding_id)
    assert shot.similarity == pytest.approx(1 / 1.09**0.5, abs=0.05)
    assert shot.threshold is not None
    assert shot.similarity is not None
    assert shot.threshold < shot.similarity


async def test_two_people_are_two_customers(bench: Bench) -> None:
    (anna,) = await bench.ask(bench.query("anna"))
    (bert,) = await bench.ask(bench.query("bert"))
    assert bert.verdict is Verdict.ENROLLED
    assert bert.customer_id != anna.customer_id
    assert bert.similarity is not None
    assert -1 <= bert.similarity < 0.3


async def test_the_same_new_person_twice_in_a_batch_is_one_customer(bench: Bench) -> None:
    decisions = await bench.ask(bench.query("anna"), bench.query("bert"), bench.query("anna", noise=0.2))
    assert len({decision.customer_id for decision in decisions}) == 2
    assert decisions[0].customer_id == decisions[2].customer_id
    assert [decision.verdict for decision in decisions] == [Verdict.ENROLLED, Verdict.ENROLLED, Verdict.MATCHED]


async def test_a_poor_face_confirms_a_person_and_founds_none(bench: Bench) -> None:
    (nobody,) = await bench.ask(bench.query("anna", quality=0.01))
    assert nobody.verdict is Verdict.UNDECIDED
    assert nobody.customer_id is None
    assert nobody.embedding_id is None
    (founder,) = await bench.ask(bench.query("anna"))
    assert founder.verdict is Verdict.ENROLLED
    (poor,) = await bench.ask(bench.query("anna", quality=0.01))
    assert (poor.verdict, poor.customer_id) == (Verdict.MATCHED, founder.customer_id)


async def test_tenants_do_not_know_each_others_customers(bench: Bench) -> None:
    (mine,) = await bench.ask(bench.query("anna"))
    at = now()
    theirs = FaceQuery(EventId(IDS.uuid7(at)), SiteId(bench.other.site_id), at, SPACE, vector("anna"), 0.9)
    (decision,) = await bench.ask(theirs, tenant=bench.other.tenant_id)
    assert decision.verdict is Verdict.ENROLLED
    assert decision.customer_id != mine.customer_id


async def test_answers_come_in_the_order_of_the_questions(bench: Bench) -> None:
    queries = [bench.query(number) for number in range(MOST_FACES)]
    decisions = await bench.ask(*queries)
    assert [decision.embedding_id for decision in decisions] == [query.event_id for query in queries]


async def test_one_new_person_at_two_doors_at_once_is_one_customer(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.ask(bench.query("anna", noise=0.1, seed=seed)) for seed in range(6)))
    decisions = [decision for (decision,) in answers]
    assert len({decision.customer_id for decision in decisions}) == 1
    assert sorted(decision.verdict or "" for decision in decisions) == ["ENROLLED", *["MATCHED"] * 5]


async def test_over_the_wire_a_forbidden_face_is_refused_with_its_reason(peers: Callable[[str], Tls]) -> None:
    fake, issuer = FakeMatcher(), TokenIssuer()
    tenant, at = TenantId(IDS.uuid7()), now()
    query = FaceQuery(EventId(IDS.uuid7(at)), SiteId(IDS.uuid7()), at, SPACE, vector("anna"), 0.9)
    fake.forbid(tenant, [query.event_id])
    async with (
        running_matcher(peers, issuer, fake) as server,
        channel(f"127.0.0.1:{server.port}", "svc-identity", peers("svc-ingest")) as opened,
    ):
        (decision,) = await IdentityMatcher(opened).match(tenant, [query])
    assert decision.verdict is None
    assert decision.refusal is not None
    assert decision.refusal.reason is Reason.PERSON_ERASED


async def test_an_identity_that_is_away_is_unavailable(peers: Callable[[str], Tls]) -> None:
    at = now()
    query = FaceQuery(EventId(IDS.uuid7(at)), SiteId(IDS.uuid7()), at, SPACE, vector("anna"), 0.9)
    async with channel(f"127.0.0.1:{free_port()}", "svc-identity", peers("svc-ingest")) as opened:
        with pytest.raises(Unavailable):
            await IdentityMatcher(opened, seconds=2).match(TenantId(IDS.uuid7()), [query])
