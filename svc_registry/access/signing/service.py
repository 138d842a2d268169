"""Signs access tokens and publishes the keys to verify them by; every replica follows the table of keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import jwt
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from mesh.auth import ALGORITHM, JwkSet
from mesh.clock import Clock
from mesh.database import Database, Tx, lock
from mesh.errors import Unavailable
from mesh.ids import Ids
from mesh.keyring import KeyRing
from svc_registry.access.signing import store
from svc_registry.access.signing.domain import KeyLife, Rotation, RotationPolicy, plan, signing_kid
from svc_registry.access.signing.store import StoredKey

RSA_BITS: Final = 2048
_EXPONENT: Final = 65537

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    life: KeyLife
    public_jwk: Mapping[str, Any]
    private_key: rsa.RSAPrivateKey


class SigningKeys:
    """The keys in memory. `rotate` loads them, and is called every few seconds under the supervisor.

    Args:
        database: holds them.
        ring: seals the private parts.
        policy: how long they live.
        clock, ids: given.
    """

    def __init__(self, database: Database, ring: KeyRing, policy: RotationPolicy, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._ring = ring
        self._policy = policy
        self._clock = clock
        self._ids = ids
        self._keys: dict[str, _Loaded] = {}

    async def rotate(self) -> None:
        """Makes, retires and drops keys as their time comes, then loads them all."""
        stored = await self._database.run(None, store.list_keys, read_only=True)
        if plan(_lives(stored), self._policy, self._clock.now()) != Rotation():
            # Made outside of the transaction, 0.1 s of CPU; thrown away where another replica was first.
            fresh = await asyncio.to_thread(rsa.generate_private_key, _EXPONENT, RSA_BITS)
            stored = await self._database.run(None, lambda tx: self._apply(tx, fresh))
        if any(not self._ring.is_current(key.private_key) for key in stored):
            stored = await self._database.run(None, self._reseal)
        self._load(stored)

    async def check(self) -> None:
        """A readiness check. The first one loads the keys, or makes the installation's first.

        Raises:
            Unavailable: the database is away.
        """
        if not self._keys:
            await self.rotate()
        self._current()

    async def jwks(self) -> JwkSet:
        """The JWK Set: keys about to be used, in use, and just replaced."""
        if not self._keys:
            raise Unavailable("the signing keys are not loaded yet", retry_after=timedelta(seconds=1))
        now = self._clock.now()
        return {
            "keys": [
                dict(key.public_jwk)
                for key in self._keys.values()
                if key.life.expire_time is None or now < key.life.expire_time
            ]
        }

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a JWT.

        Raises:
            Unavailable: no key is loaded yet.
        """
        key = self._current()
        return jwt.encode(dict(claims), key.private_key, algorithm=ALGORITHM, headers={"kid": key.life.kid})

    def _current(self) -> _Loaded:
        kid = signing_kid([key.life for key in self._keys.values()], self._clock.now())
        if kid is None:
            raise Unavailable("the signing keys are not loaded yet", retry_after=timedelta(seconds=1))
        return self._keys[kid]

    async def _apply(self, tx: Tx, fresh: rsa.RSAPrivateKey) -> list[StoredKey]:
        await lock(tx, ("signing-keys",))
        rotation = plan(_lives(await store.list_keys(tx)), self._policy, self._clock.now())
        if rotation.activate_time is not None:
            key = self._seal(fresh, KeyLife(self._ids.secret(12), rotation.activate_time))
            await store.insert_key(tx, key)
            _log.info("signing_key_published", kid=key.life.kid, activate_time=rotation.activate_time.isoformat())
        if rotation.retire is not None:
            kid, retire_time = rotation.retire
            await store.retire_key(tx, kid, retire_time, retire_time + self._policy.overlap)
            _log.info("signing_key_retires", kid=kid, retire_time=retire_time.isoformat())
        await store.drop_keys(tx, rotation.drop)
        return await store.list_keys(tx)

    async def _reseal(self, tx: Tx) -> list[StoredKey]:
        """Encrypts with the first master key what an older one encrypted, so that the older one may go."""
        await lock(tx, ("signing-keys",))
        for key in await store.list_keys(tx):
            if not self._ring.is_current(key.private_key):
                place = _place(key.life.kid)
                sealed = self._ring.encrypt(self._ring.decrypt(key.private_key, place), place)
                await store.reseal_key(tx, key.life.kid, sealed)
        return await store.list_keys(tx)

    def _seal(self, key: rsa.RSAPrivateKey, life: KeyLife) -> StoredKey:
        der = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        numbers = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
        jwk = {
            "kty": "RSA",
            "use": "sig",
            "alg": ALGORITHM,
            "kid": life.kid,
            "n": numbers["n"],
            "e": numbers["e"],
        }
        return StoredKey(life, jwk, self._ring.encrypt(der, _place(life.kid)))

    def _load(self, stored: list[StoredKey]) -> None:
        self._keys = {
            key.life.kid: _Loaded(
                key.life,
                key.public_jwk,
                # The kid names the key's content for ever, so what is loaded stays.
                self._keys[key.life.kid].private_key if key.life.kid in self._keys else self._open(key),
            )
            for key in stored
        }

    def _open(self, key: StoredKey) -> rsa.RSAPrivateKey:
        der = self._ring.decrypt(key.private_key, _place(key.life.kid))
        private_key = serialization.load_der_private_key(der, password=None)
        if not isinstance(private_key, rsa.RSAPrivateKey):
            msg = "a signing key is an RSA key"
            raise TypeError(msg)
        return private_key


def _lives(stored: list[StoredKey]) -> list[KeyLife]:
    return [key.life for key in stored]


def _place(kid: str) -> bytes:
    return f"signing-key:{kid}".encode()
