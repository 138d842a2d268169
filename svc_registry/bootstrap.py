"""The first system_admin, whom no RPC can make: whoever may call it would have to be one already.

    python -m svc_registry bootstrap-admin --email E [--password-stdin]

The password comes from stdin, else from FOOTFALL_ADMIN_PASSWORD, else it is made up and printed once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import protovalidate
from footfall.registry.v1 import role_pb2, user_pb2

from mesh.access import OPERATOR, Role
from mesh.audit import Audit
from mesh.auth import Caller
from mesh.clock import SystemClock
from mesh.database import Database, Tx
from mesh.errors import MeshError
from mesh.ids import SYSTEM_TENANT_ID, Ids, SystemIds, UserId
from mesh.settings import SettingsError, load
from schema.reports import audit_entries
from svc_registry.access.passwords import Argon2Passwords, Passwords
from svc_registry.access.tokens.limits import SignInLimits
from svc_registry.access.tokens.service import Sessions
from svc_registry.access.users import store
from svc_registry.access.users.domain import UserDraft
from svc_registry.access.users.service import Users
from svc_registry.settings import RegistrySettings
from svc_registry.wiring import NAME

COMMAND: Final = "bootstrap-admin"
PASSWORD_VARIABLE: Final = "FOOTFALL_ADMIN_PASSWORD"  # noqa: S105 (its name)
GENERATED_BYTES: Final = 15
EX_CONFIG: Final = 78


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """What came of it.

    Attributes:
        made: false when the user was there before, and nothing was changed.
    """

    user_id: UUID
    made: bool


async def ensure_admin(database: Database, users: Users, passwords: Passwords, email: str, password: str) -> FirstAdmin:
    """Makes a system_admin with this address, unless somebody has it. Safe to repeat.

    Raises:
        MeshError: the address is somebody's who is no system_admin; or the database is away.
    """
    caller = Caller(peer=OPERATOR, role=Role.SYSTEM_ADMIN)
    password_hash = await passwords.hash(password)

    async def work(tx: Tx) -> FirstAdmin:
        known = await store.find_by_email(tx, email)
        if known is not None and await store.get_user(tx, UserId(known)) is not None:
            return FirstAdmin(known, made=False)
        draft = UserDraft(email, "", Role.SYSTEM_ADMIN, frozenset(), disabled=False, password_hash=password_hash)
        return FirstAdmin((await users.create(tx, caller, draft)).id, made=True)

    return await database.run(SYSTEM_TENANT_ID, work)


def main(argv: Sequence[str]) -> None:
    """The command. Exits with 78 when the settings or the arguments are wrong, 1 when it could not be done."""
    parser = argparse.ArgumentParser(prog=f"python -m {NAME} {COMMAND}", description="Makes the first system admin")
    parser.add_argument("--email", required=True)
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    arguments = parser.parse_args(argv)
    try:
        settings = load(RegistrySettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)
    given = sys.stdin.readline().rstrip("\n") if arguments.password_stdin else os.environ.get(PASSWORD_VARIABLE, "")
    password = given or secrets.token_urlsafe(GENERATED_BYTES)
    wanted = user_pb2.User(email=arguments.email, role=role_pb2.ROLE_SYSTEM_ADMIN, password=password)
    try:
        protovalidate.validate(wanted)
    except protovalidate.ValidationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)
    try:
        admin = asyncio.run(_run(settings, arguments.email, password, SystemIds()))
    except MeshError as error:
        sys.stderr.write(f"{error.reason_name}: {error.message}\n")
        sys.exit(1)
    if not admin.made:
        sys.stdout.write(f"{arguments.email} was there before; nothing has changed\n")
    elif given:
        sys.stdout.write(f"{arguments.email} can sign in\n")
    else:
        sys.stdout.write(f"{arguments.email} can sign in with the password {password}\n")


async def _run(settings: RegistrySettings, email: str, password: str, ids: Ids) -> FirstAdmin:
    clock = SystemClock()
    passwords = Argon2Passwords(settings.password_iterations, settings.password_memory_kib)
    users = Users(
        passwords=passwords,
        sessions=Sessions(settings.tokens, clock),
        limits=SignInLimits(settings.sign_in_limits, clock),
        audit=Audit(audit_entries, NAME, ids),
        ids=ids,
    )
    async with Database.connect(
        settings.database_url.get_secret_value(), pool_size=1, application_name=f"{NAME} {COMMAND}"
    ) as database:
        return await ensure_admin(database, users, passwords, email, password)
