"""Ports for servers of tests."""

from __future__ import annotations

import os
import random
import socket
from typing import Final

# Below the range that systems give to clients' connections (32768 on Linux): none of those takes a port meanwhile.
_FIRST: Final = 11_000
_LAST: Final = 20_000
_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS: Final = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_port() -> int:
    """A port of the loopback that nobody listens on, from this test process's own share of them."""
    share = (_LAST - _FIRST) // _WORKERS
    first = _FIRST + _WORKER * share
    while True:
        port = random.randrange(first, first + share)  # noqa: S311 (no secret)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
