"""`python -m svc_registry` as an operator starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from footfall.registry.v1 import auth_pb2, auth_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.settings import as_environment
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.mesh import connect
from tests.support.ports import free_port
from tests.support.registry import PASSWORD, PEER, registry_settings

EMAIL = "first@footfall.test"


@pytest.fixture
def environment(database: TestDatabase, peers: Callable[[str], Tls]) -> dict[str, str]:
    settings = registry_settings(
        database, peers(PEER), listen=f"127.0.0.1:{free_port()}", metrics_listen=f"127.0.0.1:{free_port()}"
    )
    fields = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {"PATH": os.environ["PATH"], **as_environment(fields)}


async def run(environment: Mapping[str, str], *arguments: str, stdin: str = "") -> tuple[int, str]:
    """Exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "svc_registry",
        *arguments,
        env=dict(environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(stdin.encode())
    return process.returncode or 0, output.decode()


async def test_the_first_admin_is_made_once_and_signs_in(
    environment: dict[str, str], peers: Callable[[str], Tls]
) -> None:
    arguments = ("bootstrap-admin", "--email", EMAIL, "--password-stdin")
    first = await run(environment, *arguments, stdin=f"{PASSWORD}\n")
    again = await run(environment, *arguments, stdin="another password\n")
    assert first == (0, f"{EMAIL} can sign in\n")
    assert again == (0, f"{EMAIL} was there before; nothing has changed\n")

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "svc_registry", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with connect(environment["FOOTFALL_LISTEN"], PEER, peers("gateway")) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            async for answer in health.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    break
            grant = auth_pb2.PasswordGrant(email=EMAIL.upper(), password=PASSWORD)
            stub = auth_pb2_grpc.AuthServiceStub(channel)
            issued = await stub.IssueToken(auth_pb2.IssueTokenRequest(password=grant))
            assert issued.user_id
            assert not issued.tenant_id
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_password_that_nobody_gave_is_made_up_and_printed_once(environment: dict[str, str]) -> None:
    code, output = await run(environment, "bootstrap-admin", "--email", EMAIL)
    assert code == 0
    assert len(output.split()[-1]) >= 20


async def test_a_password_that_is_too_short_is_refused(environment: dict[str, str]) -> None:
    code, output = await run(environment, "bootstrap-admin", "--email", EMAIL, "--password-stdin", stdin="short\n")
    assert code == 78
    assert "password" in output


async def test_check_config_prints_the_settings_and_no_secret(environment: dict[str, str]) -> None:
    code, output = await run(environment, "--check-config")
    assert code == 0
    assert "FOOTFALL_TOKEN_MINUTES=15" in output
    assert environment["FOOTFALL_MASTER_KEYS"] not in output
    assert "FOOTFALL_DATABASE_URL=**" in output


async def test_settings_that_are_wrong_are_each_named(environment: dict[str, str]) -> None:
    environment |= {"FOOTFALL_TOKEN_MINUTES": "soon", "FOOTFALL_LISTEN": "nowhere"}
    code, output = await run(environment, "--check-config")
    assert code == 78
    assert "FOOTFALL_TOKEN_MINUTES" in output
    assert "FOOTFALL_LISTEN" in output
