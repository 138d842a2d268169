"""The whole real mesh for tests, started by the command that operators use, and ways to build on it.

with running_mesh(folder) as mesh:
    shop = mesh.tenant("Bookshop")                     # by the JSON API, as any client would
    site = shop.site()
    camera = shop.camera(site)
    shop.get("/v1/visits")
    async with mesh.grpc(shop.token) as channel: ...   # through the gateway
    async with mesh.peer("svc-reports", shop.token) as channel: ...   # at the service, as the gateway
"""

from __future__ import annotations

import itertools
import os
import random
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
import jwt
import psycopg
from cryptography.hazmat.primitives.serialization import load_der_private_key

from mesh.clock import SystemClock
from mesh.keyring import KeyRing
from stack import admin, control, plan, state
from stack.control import Status
from stack.environment import DATABASE, Surroundings
from stack.home import Home
from stack.ports import HIGHEST_BASE, LOOPBACK, Ports, is_free
from stack.up import Options
from tests.support.mesh import connect

START_SECONDS = 180.0
CALL_SECONDS = 60.0
TOKEN_SECONDS = 300.0
"""A token is renewed long before its quarter of an hour is over."""
LAWFUL_BASIS = "a test"

_FIRST_BASE, _LAST_BASE = 12_000, 31_000
"""Below the ports that the system hands out by itself (Linux: from 32768 on)."""

_numbers = itertools.count(1)
T = TypeVar("T")


def eventually(condition: Callable[[], T | None], what: str, *, within: float = 60.0) -> T:
    """Waits until `condition` gives something true, and returns it. AssertionError naming `what` else.

    Args:
        within: a bound for a broken test, in seconds; not a measure of anything.
    """
    end = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < end, f"did not happen within {within:g} s: {what}"
        time.sleep(0.05)
    return found


class Refused(Exception):  # noqa: N818 - the answer's own word
    """The API's error, as its JSON tells it."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.text = response.text
        try:
            self.body: dict[str, Any] = response.json()
        except ValueError:
            self.body = {}
        super().__init__(f"{response.request.method} {response.request.url.path}: {self.status} {self.text[:600]}")

    @property
    def reason(self) -> str:
        """ErrorInfo.reason; "" without one."""
        return next((str(detail["reason"]) for detail in self.body.get("details", []) if "reason" in detail), "")


@dataclass
class Mesh:
    """A mesh that runs in processes of its own."""

    around: Surroundings

    @property
    def home(self) -> Home:
        return self.around.home

    @property
    def ports(self) -> Ports:
        return self.around.ports

    @property
    def ca(self) -> Path:
        """Whom clients trust."""
        return self.around.tls("gateway").ca

    @property
    def url(self) -> str:
        """The gateway's."""
        return self.around.gateway_url

    # -- by JSON -----------------------------------------------------------------------------------------------------

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """An HTTP/2 client of the gateway; `token` goes with every request."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        options = {"timeout": CALL_SECONDS, "http2": True, **options}
        return httpx.Client(base_url=self.url, verify=self._trust, headers=headers, **options)

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        """One request; its JSON. Raises Refused for anything but success."""
        with self.client(token) as client:
            response = client.request(method, path, **options)
        if response.is_error:
            raise Refused(response)
        return response.json()

    def sign_in(self, email: str, password: str) -> dict[str, Any]:
        """What IssueToken answers."""
        answer: dict[str, Any] = self.call(
            "POST", "/v1/auth/token", json={"password": {"email": email, "password": password}}
        )
        return answer

    def exchange(self, secret: str) -> dict[str, Any]:
        """What IssueToken answers to an API key."""
        answer: dict[str, Any] = self.call("POST", "/v1/auth/token", json={"apiKey": {"key": secret}})
        return answer

    # -- by gRPC -----------------------------------------------------------------------------------------------------

    def grpc(self, token: str | None = None, **metadata: str) -> grpc.aio.Channel:
        """A channel to the gateway. Use it as an async context manager."""
        target = f"{LOOPBACK}:{self.ports.gateway}"
        named = {name.replace("_", "-"): value for name, value in metadata.items()}
        return connect(target, "gateway", self.around.tls("gateway"), token=token, metadata=named)

    def peer(self, service: str, token: str | None = None, *, as_peer: str = "gateway", **metadata: str) -> Any:
        """A channel straight to "svc-…", past the gateway, with another peer's certificate."""
        named = {name.replace("_", "-"): value for name, value in metadata.items()}
        return connect(self.target(service), service, self.around.tls(as_peer), token=token, metadata=named)

    def target(self, service: str) -> str:
        """host:port of "svc-…"."""
        return f"{LOOPBACK}:{self.ports.service(service.removeprefix('svc-'))}"

    # -- what lies behind it -----------------------------------------------------------------------------------------

    @property
    def database_url(self) -> str:
        """A superuser's."""
        return self.around.database.admin_url.rpartition("/")[0] + f"/{DATABASE}"

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """A superuser's eyes."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            yield connection

    def forge(self, token: str, **claims: Any) -> str:
        """The token's claims with some replaced, signed with the registry's own key: what only its thief could make."""
        kid = jwt.get_unverified_header(token)["kid"]
        with self.database() as connection:
            row = connection.execute("SELECT private_key FROM signing_keys WHERE kid = %s", [kid]).fetchone()
        assert row is not None
        ring = KeyRing.parse(self.around.secrets.master_keys)
        key: Any = load_der_private_key(ring.decrypt(row[0], f"signing-key:{kid}".encode()), password=None)
        body = {**jwt.decode(token, options={"verify_signature": False}), **claims}
        return jwt.encode(body, key, algorithm="RS256", headers={"kid": kid})

    def status(self) -> Status:
        """Of every child, measured now."""
        found = control.status(self.home, SystemClock())
        assert found is not None, "the mesh has ended"
        return found

    def pid(self, child: str) -> int:
        """Of a child as `status` names it; 0 while it is not running."""
        record = state.read(self.home)
        assert record is not None
        return next((one.pid or 0 for one in record.children if one.name == child), 0)

    # -- who uses it -------------------------------------------------------------------------------------------------

    @cached_property
    def operator(self) -> User:
        """The first system_admin."""
        login = admin.load(self.home)
        assert login is not None
        return User(self, login.email, login.password)

    def tenant(self, name: str) -> Tenant:
        """A new tenant, and its first administrator."""
        made = self.operator.post("/v1/tenants", {"displayName": name})["tenant"]
        tenant = Tenant(self, made["id"], User(self, "", ""))
        tenant.admin = tenant.user("TENANT_ADMIN", by=self.operator)
        return tenant


@dataclass
class User:
    """Somebody who can sign in."""

    mesh: Mesh
    email: str
    password: str = field(repr=False)
    id: str = ""
    _token: str = field(default="", repr=False)
    _since: float = 0.0

    @property
    def token(self) -> str:
        """An access token that is good for minutes."""
        if not self._token or time.monotonic() - self._since > TOKEN_SECONDS:
            self._token, self._since = self.mesh.sign_in(self.email, self.password)["accessToken"], time.monotonic()
        return self._token

    def get(self, path: str, **params: Any) -> Any:
        """Raises Refused."""
        return self.mesh.call("GET", path, self.token, params=params or None)

    def post(self, path: str, body: Mapping[str, Any], **options: Any) -> Any:
        """Raises Refused."""
        return self.mesh.call("POST", path, self.token, json=body, **options)


@dataclass
class Tenant:
    """A tenant as its administrator builds it."""

    mesh: Mesh
    id: str
    admin: User

    @property
    def token(self) -> str:
        """The administrator's."""
        return self.admin.token

    def get(self, path: str, **params: Any) -> Any:
        """As the administrator. Raises Refused."""
        return self.admin.get(path, **params)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """As the administrator. Raises Refused."""
        return self.admin.post(path, body)

    def user(self, role: str, *, site_ids: Sequence[str] = (), by: User | None = None) -> User:
        """A new user with a role of the contract's, e.g. "VIEWER"."""
        email, password = f"user{next(_numbers)}-{self.id[-12:]}@test.example", secrets.token_urlsafe(12)
        wanted = {"email": email, "password": password, "role": f"ROLE_{role}", "displayName": email}
        if site_ids:
            wanted["siteIds"] = list(site_ids)  # type: ignore[assignment]
        headers = {"x-tenant-id": self.id} if by else {}
        made = (by or self.admin).post("/v1/users", wanted, headers=headers)["user"]
        return User(self.mesh, email, password, made["id"])

    def site(self, name: str = "High street", **fields: Any) -> str:
        """A new site's id; `fields` as in the JSON of Site."""
        wanted = {
            "displayName": name,
            "timeZone": "Europe/Vienna",
            "privacyMode": "PRIVACY_MODE_FULL",
            "lawfulBasis": LAWFUL_BASIS,
            **fields,
        }
        return str(self.post("/v1/sites", wanted)["site"]["id"])

    def camera(self, site_id: str, name: str = "Entrance", uri: str = "rtsp://camera.invalid/1", **fields: Any) -> str:
        """A new camera's id; `fields` as in the JSON of Camera."""
        wanted = {"siteId": site_id, "displayName": name, "role": "CAMERA_ROLE_ENTRANCE", "source": {"uri": uri}}
        return str(self.post("/v1/cameras", {**wanted, **fields})["camera"]["id"])

    def worker_key(self, site_id: str, name: str = "Mac mini") -> tuple[str, str]:
        """A new worker: the secret of its API key, and its id."""
        made = self.post("/v1/apiKeys", {"displayName": name, "role": "ROLE_WORKER", "siteIds": [site_id]})
        return str(made["secret"]), str(made["apiKey"]["workerId"])

    def integrator_token(self, site_id: str, camera_ids: Sequence[str]) -> str:
        """The token of a machine that sends events without leases (epoch 0) for some cameras."""
        wanted = {"displayName": "integration", "role": "ROLE_WORKER", "siteIds": [site_id], "cameraIds": [*camera_ids]}
        return str(self.mesh.exchange(self.post("/v1/apiKeys", wanted)["secret"])["accessToken"])


@contextmanager
def running_mesh(folder: Path, **environment: str) -> Iterator[Mesh]:
    """`python -m stack up --detach` with a home of its own and free ports, for the length of the block.

    Args:
        folder: an empty one, for its home.
        environment: on top of this process's, without the operator's FOOTFALL_ variables: e.g. FOOTFALL_MODELS.
    """
    home, ports = Home.at(folder), Ports(_free_base())
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")} | environment
    command = [sys.executable, "-P", "-m", "stack", "up", "--detach", "--home", str(home.root)]
    command += ["--port-base", str(ports.base), "--start-seconds", str(START_SECONDS)]
    try:
        started = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert started.returncode == 0, f"the mesh did not start:\n{started.stdout}{started.stderr}"
        yield Mesh(plan.surroundings(Options(home, ports))[0])
    finally:
        control.down(home)


def _free_base() -> int:
    """A base of which every port is free now, chosen at random: other tests look for one at the same time."""
    for _ in range(400):
        base = random.randrange(_FIRST_BASE, min(_LAST_BASE, HIGHEST_BASE), 50)  # noqa: S311 - a port, not a secret
        if all(is_free(port) for port in Ports(base).all().values()):
            return base
    raise AssertionError("no free range of ports")
