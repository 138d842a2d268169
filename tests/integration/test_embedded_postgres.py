"""The embedded server: who gets in, and what outlives what."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from stack.postgres import Postgres, PostgresError
from tests.support.database import chosen_binaries
from tests.support.ports import free_port


@pytest.fixture
def reachable_home(tmp_path: Path) -> Iterator[Path]:
    """A folder that any user can reach, as /var/lib is."""
    import shutil
    import tempfile

    home = Path(tempfile.mkdtemp(prefix="footfall-embedded-"))
    home.chmod(0o711)
    yield home / "postgres"
    shutil.rmtree(home)


def embedded(home: Path) -> Postgres:
    return Postgres(home, free_port(), "s3cret", binaries=chosen_binaries())


def test_what_was_committed_survives_kill_9(reachable_home: Path) -> None:
    with embedded(reachable_home) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS answer")
        server.kill()
        server.start()
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (1,)


def test_nobody_comes_in_without_the_password(reachable_home: Path) -> None:
    with embedded(reachable_home) as server:
        sockets = server.root / "run"
        for where in (f"host=127.0.0.1 port={server.port}", f"host={sockets} port={server.port}"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(f"{where} user=postgres dbname=postgres password=guess")


def test_the_server_dies_with_a_parent_that_is_killed(reachable_home: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from stack.postgres import Postgres
        home, port, binaries = sys.argv[1:]
        server = Postgres(Path(home), int(port), "s3cret", binaries=Path(binaries) if binaries else None)
        print(server.start(), flush=True)
        sys.stdin.read()
        """
    )
    argv = [sys.executable, "-c", program, str(reachable_home), str(free_port()), str(chosen_binaries() or "")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([server], timeout=20)
    assert not server.is_running()


def test_a_folder_out_of_the_servers_reach_is_sheltered_elsewhere(tmp_path: Path) -> None:
    # pytest's own folders are private. Whoever is not root runs the server as themselves, and needs no shelter.
    server = embedded(tmp_path / "private" / "postgres")
    (tmp_path / "private").mkdir(mode=0o700)
    with server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    again = embedded(server.home)
    assert again.root == server.root
    if server.root != server.home:
        import shutil

        shutil.rmtree(server.root)


def test_a_taken_port_is_told_in_the_servers_words(reachable_home: Path) -> None:
    with embedded(reachable_home) as server:
        rival = Postgres(reachable_home.with_name("rival"), server.port, "s3cret", binaries=chosen_binaries())
        started = time.monotonic()
        with pytest.raises(PostgresError, match="already in use"):
            rival.start()
        assert time.monotonic() - started < 30
