"""What the spool has answered for is still there after the agent was killed without warning."""

import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from edge_agent.spool.crypto import SpoolKey
from edge_agent.spool.database import Database
from edge_agent.spool.events import Events
from edge_agent.spool.records import Limits
from tests.support.waiting import until

# Keeps events as fast as it can, and says the id of each once the spool has answered for it.
WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID
from edge_agent.spool.crypto import SpoolKey, WrappedKey
from edge_agent.spool.records import NewEvent
from edge_agent.spool.spool import Spool
from mesh.ids import CameraId, EventId, LeaseEpoch, SystemIds

async def main(folder, boot, key):
    spool = await Spool.open(Path(folder), UUID(boot))
    spool._events.lay_down_key(WrappedKey(UUID(boot), "pair", b"wrapped"), SpoolKey(bytes.fromhex(key)))
    ids, now = SystemIds(), datetime.now(UTC)
    while True:
        camera, body, picture = CameraId(UUID(int=1)), b"face" * 500, b"p" * 20000
        event = NewEvent(EventId(ids.uuid7(now)), camera, LeaseEpoch(1), now, body, picture)
        await spool.put(event)
        print(event.id, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_every_event_that_was_answered_for_survives_kill_9(tmp_path: Path) -> None:
    boot, key = uuid4(), bytes(range(32))
    said = tmp_path / "said.txt"
    with said.open("wb") as out:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "spool"), str(boot), key.hex()], stdout=out
        )
        try:
            await until(lambda: len(said.read_bytes().splitlines()) >= 50 or writer.poll() is not None)
            assert writer.poll() is None
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()

    # The last line may be cut; the last event may be on disk without having been said.
    answered = [line for line in said.read_text().splitlines() if len(line) == 36]
    database = Database(tmp_path / "spool")
    events = Events(database, uuid4(), Limits())
    events.unseal(boot, SpoolKey(key))
    found = [str(one.id) for one in events.after(0, 1_000_000)]
    ledger = events.ledger()
    database.close()

    assert found[: len(answered)] == answered
    assert len(found) - len(answered) <= 1
    assert (ledger.stored, ledger.balanced) == (len(found), True)
