"""The secrets of the mesh at one desk: made once, kept in one file of mode 0600, never printed."""

from __future__ import annotations

import base64
import json
import os
import secrets as random
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from stack import files
from stack.home import Home

ROLES = ("footfall_owner", "svc_registry", "svc_ingest", "svc_identity", "svc_reports")

_KEY_BYTES = 32
_PASSWORD_BYTES = 24
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class UnsafeSecretsError(Exception):
    """The file of secrets can be read by others, or is damaged; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """`repr` shows none of them."""

    master_keys: str = field(repr=False)
    """The AES-GCM key ring, "id:base64,id:base64"; the first encrypts, all decrypt."""
    superuser: str = field(repr=False)
    """Password of the embedded PostgreSQL's superuser."""
    roles: Mapping[str, str] = field(repr=False)
    """Password per PostgreSQL role of ROLES."""

    @classmethod
    def make(cls) -> Self:
        """New ones, from the system's source of randomness."""
        key = base64.b64encode(os.urandom(_KEY_BYTES)).decode()
        return cls(
            master_keys=f"k{random.token_hex(4)}:{key}",
            superuser=random.token_urlsafe(_PASSWORD_BYTES),
            roles={role: random.token_urlsafe(_PASSWORD_BYTES) for role in ROLES},
        )


def load(home: Home) -> Secrets | None:
    """Those that were made for this home, if they were. Raises UnsafeSecretsError."""
    complaint = exposure(home)
    if complaint:
        raise UnsafeSecretsError(complaint)
    try:
        content = files.read_json(home.secrets)
        if content is None:
            return None
        return Secrets(content["master_keys"], content["superuser"], {role: content["roles"][role] for role in ROLES})
    except (ValueError, KeyError, TypeError) as error:
        raise UnsafeSecretsError(
            f"{home.secrets} is damaged ({error}): bring it back from a backup. Without it the encrypted data of "
            f"{home.root} cannot be read"
        ) from None


def load_or_make(home: Home) -> Secrets:
    """Those of this home, made now if this is its first start. Raises UnsafeSecretsError."""
    found = load(home)
    if found is None:
        found = Secrets.make()
        content = {"master_keys": found.master_keys, "superuser": found.superuser, "roles": dict(found.roles)}
        # Durable: a power cut must not leave data that was encrypted with a key nobody has.
        files.write(home.secrets, json.dumps(content, indent=2) + "\n", mode=files.SECRET, durable=True)
    return found


def exposure(home: Home) -> str | None:
    """What is wrong with the files' modes, and the command that mends it; None when nothing is."""
    for path in (home.secrets, home.admin, home.desk):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            continue
        if mode & _OTHERS:
            return f"{path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`, and think of who read it"
    return None
