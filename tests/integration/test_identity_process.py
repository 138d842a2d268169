"""`python -m svc_identity` as the stack runs it: it starts by itself, and a kill -9 costs nothing that it answered."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from footfall.identity.v1 import match_pb2, match_pb2_grpc
from footfall.registry.v1 import auth_pb2, auth_pb2_grpc
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.access import ADMINS, Rule, TenantFrom, rules
from mesh.ids import TenantId
from mesh.mounts import Mount
from mesh.server import Service, running
from mesh.settings import as_environment
from mesh.tls import Tls
from svc_identity.vectors.milvus import MilvusIndex
from tests.support.database import TestDatabase
from tests.support.faces import person_vector, shot
from tests.support.identity import SPACE, identity_settings, query
from tests.support.mesh import TokenIssuer, connect
from tests.support.ports import free_port
from tests.support.seed import SeededTenant, seed_tenant
from tests.support.waiting import until

AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
Decision = match_pb2.MatchDecision


class Keys(auth_pb2_grpc.AuthServiceServicer):
    """As much of a registry as identity needs to start."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer

    async def GetJwks(self, request: Any, context: Any) -> auth_pb2.GetJwksResponse:
        return json_format.ParseDict(
            dict(await self._issuer.jwks()), auth_pb2.GetJwksResponse(), ignore_unknown_fields=True
        )


class Process:
    """svc_identity in a process of its own, on the same record and index at every start."""

    def __init__(self, environment: dict[str, str], port: int, peers: Callable[[str], Tls]) -> None:
        self._environment = environment
        self._port = port
        self._peers = peers
        self._running: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._running is not None
        return self._running.pid

    async def start(self) -> None:
        """Starts it, and waits until it serves."""
        self._running = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "svc_identity", env=self._environment
        )
        async with connect(self._target, "svc-identity", self._peers("operator")) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)

            async def serving() -> bool:
                try:
                    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=2)
                except grpc.aio.AioRpcError:
                    return False
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            await until(serving, within=60)

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """As the supervisor does."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> None:
        if self._running is not None and self._running.returncode is None:
            self._running.send_signal(number)
            await self._running.wait()

    @property
    def _target(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def ask(self, tenant: SeededTenant, *faces: match_pb2.FaceQuery) -> list[Any]:
        """MatchFaces, as svc_ingest."""
        metadata = {"x-tenant-id": str(tenant.tenant_id)}
        async with connect(self._target, "svc-identity", self._peers("svc-ingest"), metadata=metadata) as channel:
            request = match_pb2.MatchFacesRequest(faces=faces)
            return list((await match_pb2_grpc.MatchServiceStub(channel).MatchFaces(request, timeout=20)).decisions)


@asynccontextmanager
async def processes(database: TestDatabase, peers: Callable[[str], Tls], folder: Path) -> AsyncIterator[Process]:
    issuer, port = TokenIssuer(), free_port()
    registry = Service(
        mounts=[Mount(AUTH, Keys(issuer))],  # type: ignore[abstract]  # no more than keys
        policy={
            **rules(
                AUTH,
                Rule(roles=ADMINS),
                GetJwks=Rule(peers=frozenset({"svc-identity"}), public=True, tenant=TenantFrom.NONE),
            )
        },
        verifier=issuer.verifier(),
    )
    async with running(registry, tls=peers("svc-registry"), grace=0) as server:
        given = identity_settings(
            database,
            peers,
            folder,
            listen=f"127.0.0.1:{port}",
            metrics_listen=f"127.0.0.1:{free_port()}",
            registry_target=f"127.0.0.1:{server.port}",
        )
        names = type(given).model_fields
        environment = as_environment({name: getattr(given, name) for name in names})
        process = Process({"PATH": os.environ["PATH"], **environment}, port, peers)
        try:
            yield process
        finally:
            await process.stop()


def resident_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_what_was_answered_before_a_kill_is_known_after_it_and_reaches_the_index(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> None:
    tenant = seed_tenant(database)
    faces = [query(tenant, person_vector(person)) for person in range(48)]
    async with processes(database, peers, tmp_path) as identity:
        await identity.start()
        assert resident_mib(identity.pid) < 500
        first = await identity.ask(tenant, *faces)
        await identity.kill()  # most likely between the commit and the index
        await identity.start()
        assert await identity.ask(tenant, *faces) == first
        again = await identity.ask(tenant, *(query(tenant, shot(person, 0.55)) for person in range(48)))
        assert {decision.verdict for decision in again} == {Decision.VERDICT_MATCHED}
        assert [one.customer_id for one in again] == [one.customer_id for one in first]

        def all_indexed() -> bool:
            with database.superuser() as connection:
                row = connection.execute("SELECT count(*) FROM embeddings WHERE index_time IS NULL").fetchone()
            return row == (0,)

        await until(all_indexed)
    index = MilvusIndex(str(tmp_path / "vectors" / "faces.db"))
    assert await index.count(SPACE, TenantId(tenant.tenant_id)) == 48
    await index.close()
