"""A real browser at the real mesh: sign in, see who comes, and see it soon."""

from __future__ import annotations

import json
import os
import queue
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.support.gateway import ROOT
from tests.support.ingest import jpeg
from tests.support.slice import Shop, recently
from tests.support.stack import Mesh

WEB: Final = ROOT / "web"
CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_SECONDS: Final = 60.0

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium, or name one in CHROMIUM"),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not (WEB / "node_modules/playwright-core").exists(), reason="playwright-core: npm ci in web/"),
    pytest.mark.skipif(not (WEB / "dist/index.html").exists(), reason="the UI is not built: make ui"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def shop(real_mesh: Mesh) -> Shop:
    return Shop.open(real_mesh, "seen by a browser")


@dataclass
class Screen:
    """What a browser shows, as web/e2e/watch.mjs tells it."""

    lines: queue.SimpleQueue[dict[str, Any] | None]

    def until(self, key: str, value: str | None = None) -> dict[str, Any]:
        """The first thing told of this kind (and value)."""
        before = []
        while (told := self.lines.get(timeout=PATIENCE_SECONDS)) is not None:
            if key in told and value in {None, told[key]}:
                return told
            before.append(told)
        raise AssertionError(f"the browser ended without {key}={value}: {before}")


@contextmanager
def screen(mesh: Mesh, email: str, password: str) -> Iterator[Screen]:
    """A browser in which somebody types an e-mail and a password."""
    lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    process = subprocess.Popen(
        ["node", str(WEB / "e2e" / "watch.mjs"), mesh.url, email, password],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=WEB,
        env={**os.environ, "CHROMIUM": str(CHROMIUM)},
    )

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(json.loads(line))
        lines.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield Screen(lines)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()  # the script closes its browser
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()


def test_a_wrong_password_is_refused_in_words(shop: Shop) -> None:
    with screen(shop.mesh, shop.admin.email, "not the password") as shown:
        assert shown.until("alert")["alert"] == "E-mail or password is wrong."


def test_who_signs_in_sees_the_visits_with_the_sites_clock_and_their_faces(shop: Shop) -> None:
    visit = shop.sees("a regular", snapshot=jpeg())["visitId"]
    with screen(shop.mesh, shop.admin.email, shop.admin.password) as shown:
        assert "new" in shown.until("visit", visit)["words"]
        shown.until("face", visit)


def test_a_new_visit_appears_within_two_seconds_of_its_event(shop: Shop) -> None:
    waits = []
    with screen(shop.mesh, shop.admin.email, shop.admin.password) as shown:
        shown.until("line", "live")
        for number in range(5):
            sent = time.time()
            visit = shop.sees(f"passer-by {number}", at=recently(5), snapshot=jpeg())["visitId"]
            told = shown.until("visit", visit)
            waits.append(told["at"] / 1000 - sent)
    # The middle of five: what else the machine does at one moment is not what is promised.
    assert statistics.median(waits) <= 2.0, waits


def test_a_viewer_sees_the_visits_and_no_face(shop: Shop) -> None:
    visit = shop.sees("somebody with a face", snapshot=jpeg())["visitId"]
    viewer = shop.tenant.user("VIEWER")
    with screen(shop.mesh, viewer.email, viewer.password) as shown:
        shown.until("visit", visit)
        later = shop.sees("somebody after them", at=recently(5), snapshot=jpeg())["visitId"]
        told: list[dict[str, Any]] = []
        while not told or told[-1].get("visit") != later:
            line = shown.lines.get(timeout=PATIENCE_SECONDS)
            assert line is not None, told
            told.append(line)
        assert not any("face" in one for one in told)


def test_another_tenants_screen_stays_empty(shop: Shop, real_mesh: Mesh) -> None:
    neighbour = Shop.open(real_mesh, "a neighbour")
    with screen(real_mesh, neighbour.admin.email, neighbour.admin.password) as shown:
        shown.until("line", "live")
        shop.sees("not theirs", at=recently(5))
        own = neighbour.sees("theirs", at=recently(5))["visitId"]
        assert shown.until("visit")["visit"] == own
