"""Keys of the spool. A key is made at every boot and lives in memory; on disk it lies wrapped for the mesh alone."""

import secrets
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

KEY_BYTES: Final = 32
SMALLEST_RSA: Final = 3072
_NONCE_BYTES: Final = 12


class SpoolKeyError(ValueError):
    """A key that is no key, or not the key of what it should open."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The mesh's half that wraps: SpoolPublicKey of the contract."""

    key_id: str
    der: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A boot's key as it lies on disk."""

    boot_id: UUID
    """The boot whose key it is."""
    key_id: str
    """The pair that it is wrapped for."""
    wrapped: bytes = field(repr=False)


class SpoolKey:
    """The key of one boot: AES-256-GCM. One key seals fewer than 2³² values, so random nonces are safe."""

    def __init__(self, key: bytes | None = None) -> None:
        """A new key, or one that the registry unwrapped. Raises `SpoolKeyError` for one of another length."""
        self._key = AESGCM.generate_key(KEY_BYTES * 8) if key is None else key
        if len(self._key) != KEY_BYTES:
            raise SpoolKeyError(f"a spool key is {KEY_BYTES} bytes long")
        self._cipher = AESGCM(self._key)

    def seal(self, clear: bytes, bound_to: bytes) -> bytes:
        """Encrypts; the answer opens only with the same `bound_to`, so rows cannot be swapped."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, clear, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Decrypts. Raises `SpoolKeyError` for damage, another key, or another place."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
        except InvalidTag as error:
            raise SpoolKeyError("the value was not sealed with this key for this place") from error

    def wrap(self, public: PublicKey, boot_id: UUID, worker_id: str) -> WrappedKey:
        """For the disk: RSA-OAEP with SHA-256, labelled with the worker's id. Raises `SpoolKeyError`."""
        try:
            key = load_der_public_key(public.der)
        except ValueError as error:
            raise SpoolKeyError("the mesh's public key cannot be read") from error
        if not isinstance(key, RSAPublicKey) or key.key_size < SMALLEST_RSA:
            raise SpoolKeyError(f"the mesh's public key is not RSA of at least {SMALLEST_RSA} bits")
        padding = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=worker_id.encode("ascii"))
        return WrappedKey(boot_id, public.key_id, key.encrypt(self._key, padding))
