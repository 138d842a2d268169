"""The first login: a system_admin whose password is made here, kept in the state folder, and printed once."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, replace

from stack import files, oneshot
from stack.children import python
from stack.environment import Surroundings
from stack.home import Home

EMAIL = "admin@footfall.local"
_PASSWORD_BYTES = 15


@dataclass(frozen=True, slots=True)
class Login:
    """Of the first admin."""

    email: str
    password: str = field(repr=False)
    made: bool = False
    """Whether the registry has the user: then there is nothing left to do at a start."""


def load(home: Home) -> Login | None:
    """The login of this home, if its first start came so far. Raises ValueError for a damaged file."""
    content = files.read_json(home.admin)
    return None if content is None else Login(**content)


async def ensure(around: Surroundings) -> Login:
    """Makes the user, once. Safe to repeat after any interruption. Raises OneShotError, OSError."""
    login = load(around.home)
    if login is None:
        login = Login(EMAIL, secrets.token_urlsafe(_PASSWORD_BYTES))
        _save(around.home, login)  # before the user exists: a password that nobody knows would be of no use
    if not login.made:
        await _ask_registry(around, login)
        login = replace(login, made=True)
        _save(around.home, login)
    return login


def _save(home: Home, login: Login) -> None:
    files.write(home.admin, json.dumps(asdict(login), indent=2) + "\n", mode=files.SECRET, durable=True)


async def _ask_registry(around: Surroundings, login: Login) -> None:
    # By the registry's own command, because the first user cannot be made by an RPC that asks for a user.
    await oneshot.run(
        python("svc_registry", "bootstrap-admin", "--email", login.email, "--password-stdin"),
        env=around.service("registry"),
        cwd=around.home.root,
        stdin=login.password + "\n",
    )
