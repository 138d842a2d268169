"""The master keys: AES-256-GCM for secrets at rest, and derived keys for what is signed.

`FOOTFALL_MASTER_KEYS` is "id:base64,id:base64", 32 bytes each. The first encrypts and signs, all decrypt and verify.
To rotate: put a new key first, encrypt again what `is_current` denies, then drop the old one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # NIST SP 800-38D: 96 bits, random; good for 2^32 messages a key
MOST_ID_BYTES: Final = 32
_VERSION: Final = 1


class DecryptionError(Exception):
    """The ciphertext is damaged, of another place (associated data), or of a key that is not on the ring."""


@dataclass(frozen=True, slots=True)
class Key:
    """One master key.

    Attributes:
        key_id: stands in clear in every ciphertext; at most 32 ASCII bytes.
        secret: 32 bytes.
    """

    key_id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.key_id or not self.key_id.isascii() or len(self.key_id) > MOST_ID_BYTES:
            msg = f"a key id has 1 to {MOST_ID_BYTES} ASCII characters"
            raise ValueError(msg)
        if len(self.secret) != KEY_BYTES:
            msg = f"a master key has {KEY_BYTES} bytes"
            raise ValueError(msg)


class KeyRing:
    """Encrypts with its first key, decrypts with any.

    Args:
        keys: the current one first.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        if not keys:
            msg = "a key ring has at least one key"
            raise ValueError(msg)
        if len({key.key_id for key in keys}) != len(keys):
            msg = "two keys bear the same id"
            raise ValueError(msg)
        self._keys = tuple(keys)
        self._ciphers = {key.key_id: AESGCM(key.secret) for key in keys}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "id:base64,id:base64".

        Raises:
            ValueError: it is not that; the message holds no key.
        """
        keys = []
        for part in text.split(","):
            key_id, separator, encoded = part.strip().partition(":")
            try:
                secret = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                separator = ""
            if not separator:
                msg = "master keys are id:base64, separated by commas"
                raise ValueError(msg)
            keys.append(Key(key_id, secret))
        return cls(keys)

    @property
    def current(self) -> str:
        """The id of the key that encrypts."""
        return self._keys[0].key_id

    def encrypt(self, plaintext: bytes, associated: bytes) -> bytes:
        """Encrypts and authenticates.

        Args:
            plaintext: what to hide.
            associated: where it belongs, e.g. b"camera:" + camera_id.bytes; moved elsewhere it does not decrypt.

        Returns:
            version ‖ length of key id ‖ key id ‖ nonce ‖ ciphertext and tag: 30 bytes and the key id longer.
        """
        key_id = self.current.encode()
        header = bytes([_VERSION, len(key_id)]) + key_id
        nonce = os.urandom(NONCE_BYTES)
        return header + nonce + self._ciphers[self.current].encrypt(nonce, plaintext, header + associated)

    def decrypt(self, ciphertext: bytes, associated: bytes) -> bytes:
        """What `encrypt` was given.

        Raises:
            DecryptionError: see there.
        """
        key_id, header_length = _key_id(ciphertext)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            msg = f"no key {key_id!r} on the ring"
            raise DecryptionError(msg)
        header, rest = ciphertext[:header_length], ciphertext[header_length:]
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + associated)
        except (InvalidTag, ValueError):
            msg = "damaged, or not of this place"
            raise DecryptionError(msg) from None

    def is_current(self, ciphertext: bytes) -> bool:
        """Whether it was encrypted with the first key; when not, decrypt and encrypt it again."""
        return _key_id(ciphertext)[0] == self.current

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """Keys for another purpose (HKDF-SHA256), 32 bytes each: the first signs, all verify.

        Args:
            purpose: unequal purposes give unrelated keys.
        """
        return tuple(
            HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"footfall:{purpose}".encode()).derive(
                key.secret
            )
            for key in self._keys
        )


def sign(keys: Sequence[bytes], message: bytes) -> bytes:
    """HMAC-SHA256 with the first of the derived keys, cut to 16 bytes."""
    return hmac.digest(keys[0], message, hashlib.sha256)[:16]


def verify(keys: Sequence[bytes], message: bytes, signature: bytes) -> bool:
    """Whether `sign` made it, with any of the keys; in constant time."""
    return any(hmac.compare_digest(hmac.digest(key, message, hashlib.sha256)[:16], signature) for key in keys)


def _key_id(ciphertext: bytes) -> tuple[str, int]:
    if len(ciphertext) < 2 or ciphertext[0] != _VERSION or len(ciphertext) < 2 + ciphertext[1]:
        msg = "not a ciphertext of ours"
        raise DecryptionError(msg)
    length = 2 + ciphertext[1]
    return ciphertext[2:length].decode("ascii", "replace"), length
