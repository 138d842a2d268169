"""The books balance, whatever happens to the events."""

import tempfile
from pathlib import Path
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from edge_agent.spool.crypto import PublicKey, SpoolKey, WrappedKey
from edge_agent.spool.database import Database
from edge_agent.spool.events import Events
from edge_agent.spool.records import Limits, NewEvent, Settlement, SnapshotVerdict, Verdict
from tests.unit.edge_agent.spool.test_spool import event

_DER = generate_private_key(65537, 3072).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PUBLIC = PublicKey("pair", _DER)
LIMITS = Limits(max_events=6, max_bytes=4000)


class Books(RuleBasedStateMachine):
    """A spool that is filled, answered, and restarted at random, beside a model that only counts."""

    known: Bundle[NewEvent] = Bundle("known")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.answered: dict[object, Verdict] = {}
        self.stored: set[object] = set()
        self.keys: dict[object, SpoolKey] = {}
        self.start()

    def start(self) -> None:
        self.boot = uuid4()
        self.database = Database(Path(self.folder.name))
        self.events = Events(self.database, self.boot, LIMITS)
        self.keys[self.boot] = SpoolKey()
        self.events.lay_down_key(WrappedKey(self.boot, "pair", b"w"), self.keys[self.boot])

    @rule(target=known, size=st.integers(0, 1500))
    def put(self, size: int) -> NewEvent:
        new = event(len(self.stored), snapshot=b"p" * size if size else None)
        assert self.events.put(new)
        self.stored.add(new.id)
        return new

    @rule(target=known, again=known)
    def put_again(self, again: NewEvent) -> MultipleResults[NewEvent]:
        before = {one.id for one in self.events.after(0, 100)}
        if again.id in before:
            assert not self.events.put(again)
        return multiple()

    @rule(one=known, verdict=st.sampled_from(Verdict), snapshot=st.sampled_from(SnapshotVerdict))
    def answer(self, one: NewEvent, verdict: Verdict, snapshot: SnapshotVerdict) -> None:
        if self.events.settle([Settlement(one.id, verdict, snapshot=snapshot)]):
            assert one.id not in self.answered
            self.answered[one.id] = verdict

    @rule()
    def restart(self) -> None:
        self.database.close()
        self.start()
        for sealed in self.events.sealed():
            self.events.unseal(sealed.boot_id, self.keys[sealed.boot_id])

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "events"):
            return
        ledger = self.events.ledger()
        waiting = self.events.after(0, 100)
        assert ledger.balanced
        assert ledger.stored == len(self.stored)
        assert ledger.spooled == len(waiting) <= LIMITS.max_events
        for verdict in Verdict:
            assert getattr(ledger, verdict.value) == list(self.answered.values()).count(verdict)
        snapshots = self.events.snapshots_after(0, 100)
        size = sum(
            len(row[0])
            for table, column in (("events", "body"), ("snapshots", "jpeg"))
            for row in self.database.connection.execute(f"SELECT {column} FROM {table}")  # noqa: S608
        )
        assert self.events.backlog().bytes == size <= LIMITS.max_bytes
        assert not {one.event_id for one in snapshots} & {one.id for one in waiting}

    def teardown(self) -> None:
        if hasattr(self, "events"):
            self.database.close()
            self.folder.cleanup()


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
