"""Clients that are not ours use the real mesh: buf curl by reflection over gRPC, and curl by JSON."""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from google.rpc import error_details_pb2

from gateway.contract import MESH_ONLY_SERVICES, services_of
from tests.support.gateway import DESCRIPTORS, ROOT
from tests.support.slice import Shop
from tests.support.stack import Mesh

BUF: Final = ROOT / "node_modules" / ".bin" / "buf"
PATIENCE_SECONDS: Final = 60.0

needs_buf = pytest.mark.skipif(not BUF.exists(), reason="buf is not installed: npm ci")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def shop(real_mesh: Mesh) -> Shop:
    return Shop.open(real_mesh, "foreign clients")


def buf(mesh: Mesh, token: str, *arguments: str) -> list[str]:
    """A command that knows an address, a token, and nothing of our contracts."""
    bearer = f"authorization: Bearer {token}"
    always = ["--protocol", "grpc", "--cacert", str(mesh.ca), "-H", bearer, "--reflect-header", bearer]
    return [str(BUF), "curl", *always, *arguments]


def curl(mesh: Mesh, token: str, *arguments: str) -> list[str]:
    """A command that knows an address, a token and the paths."""
    always = ["--silent", "--show-error", "--no-buffer", "--cacert", str(mesh.ca)]
    return [shutil.which("curl") or "curl", *always, "-H", f"authorization: Bearer {token}", *arguments]


def output(command: list[str]) -> str:
    """What it printed, once it ended well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def listening(command: list[str]) -> Iterator[queue.SimpleQueue[str | None]]:
    """The lines of a command that goes on and on, as they come; None when it ends."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path("/"),
        start_new_session=True,  # buf comes in a wrapper of npm's: both must go
    )

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lines
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def until_line(lines: queue.SimpleQueue[str | None], word: str) -> str:
    """The first line with this word in it."""
    seen = []
    while (line := lines.get(timeout=PATIENCE_SECONDS)) is not None:
        seen.append(line)
        if word in line:
            return line
    raise AssertionError(f"it ended without {word!r}: {seen}")


# -- buf curl: gRPC by reflection --------------------------------------------------------------------------------------


@needs_buf
def test_reflection_lists_every_service_that_the_gateway_routes(shop: Shop) -> None:
    listed = set(output(buf(shop.mesh, shop.admin.token, "--list-services", shop.mesh.url)).split())

    assert listed >= {service.full_name for service in services_of(DESCRIPTORS.read_bytes())}
    assert not any(name.startswith("footfall.identity.") for name in listed & MESH_ONLY_SERVICES)


@needs_buf
def test_unary_calls_of_each_service_by_reflection(shop: Shop) -> None:
    def ask(method: str, **request: Any) -> Any:
        answer = output(buf(shop.mesh, shop.admin.token, "-d", json.dumps(request), f"{shop.mesh.url}/{method}"))
        return json.loads(answer)

    person = shop.sees("somebody for buf")["personId"]

    assert ask("footfall.registry.v1.SiteService/GetSite", id=shop.site_id)["site"]["id"] == shop.site_id
    assert ask("footfall.identity.v1.StaffService/ListStaff") == {}
    assert person in [visit["customerId"] for visit in ask("footfall.reports.v1.VisitService/ListVisits")["visits"]]
    assert ask("footfall.ingest.v1.FeedService/GetImageUrls", ids=[shop.site_id]) == {}


@needs_buf
def test_a_stream_by_reflection_brings_what_happens_while_it_is_open(shop: Shop) -> None:
    watch = f"{shop.mesh.url}/footfall.ingest.v1.FeedService/WatchVisits"
    with listening(buf(shop.mesh, shop.admin.token, "-d", "{}", watch)) as lines:
        until_line(lines, "keepalive")  # the line is up
        visit = shop.sees("a passer-by, to buf")["visitId"]
        until_line(lines, visit)


@needs_buf
def test_a_refusal_reaches_it_whole(shop: Shop) -> None:
    method = f"{shop.mesh.url}/footfall.registry.v1.SiteService/GetSite"
    command = buf(shop.mesh, shop.admin.token, "-d", '{"id": "0197a1c2-0000-7000-8000-00000000000a"}', method)

    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, cwd="/")

    error = json.loads(refused.stderr)
    assert error["code"] == "not_found"
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(error["details"][0]["value"] + "=="))
    assert (info.domain, info.reason) == ("footfall", "NOT_FOUND")


# -- curl: JSON --------------------------------------------------------------------------------------------------------


@needs_curl
def test_curl_signs_in_asks_and_sends(shop: Shop) -> None:
    grant = json.dumps({"password": {"email": shop.admin.email, "password": shop.admin.password}})
    sign_in = curl(shop.mesh, "", "--json", grant, f"{shop.mesh.url}/v1/auth/token")
    token = json.loads(output([part for part in sign_in if part not in {"-H", "authorization: Bearer "}]))[
        "accessToken"
    ]

    assert json.loads(output(curl(shop.mesh, token, f"{shop.mesh.url}/v1/sites")))["sites"][0]["id"] == shop.site_id
    made = output(curl(shop.mesh, token, "--json", '{"displayName": "Kim"}', f"{shop.mesh.url}/v1/staff"))
    staff_id = json.loads(made)["staff"]["id"]
    output(curl(shop.mesh, token, "-X", "DELETE", f"{shop.mesh.url}/v1/staff/{staff_id}"))


@needs_curl
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_holds_a_stream_as_lines_and_as_events(shop: Shop, accept: str, version: str) -> None:
    watch = curl(shop.mesh, shop.admin.token, version, "-H", f"accept: {accept}", f"{shop.mesh.url}/v1/visits:watch")
    with listening(watch) as lines:
        until_line(lines, "keepalive")
        visit = shop.sees(f"a passer-by, to curl {version} {accept}")["visitId"]
        line = until_line(lines, visit)

    events = accept == "text/event-stream"
    assert line.startswith("data: ") is events
    change = json.loads(line.removeprefix("data: "))
    assert change["change"]["visit"]["siteId"] == shop.site_id
    assert change["cursor"]


@needs_curl
def test_a_stream_goes_on_where_its_cursor_says(shop: Shop) -> None:
    watch = f"{shop.mesh.url}/v1/visits:watch"
    with listening(curl(shop.mesh, shop.admin.token, watch)) as lines:
        cursor = json.loads(until_line(lines, "keepalive"))["cursor"]
    missed = shop.sees("somebody, while nobody watched")["visitId"]

    with listening(curl(shop.mesh, shop.admin.token, "-G", "--data-urlencode", f"cursor={cursor}", watch)) as lines:
        until_line(lines, missed)
