import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.keyring import DecryptionError, Key, KeyRing, sign, verify

OLD, NEW = Key("2025", os.urandom(32)), Key("2026", os.urandom(32))
RING = KeyRing([NEW, OLD])


@given(st.binary(max_size=4096), st.binary(max_size=64))
def test_what_was_encrypted_is_decrypted(plaintext: bytes, associated: bytes) -> None:
    assert RING.decrypt(RING.encrypt(plaintext, associated), associated) == plaintext


def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    before = KeyRing([OLD]).encrypt(b"secret", b"place")
    assert RING.decrypt(before, b"place") == b"secret"
    assert not RING.is_current(before)
    assert RING.is_current(RING.encrypt(b"secret", b"place"))


def test_a_ciphertext_moved_elsewhere_is_refused() -> None:
    with pytest.raises(DecryptionError, match="not of this place"):
        RING.decrypt(RING.encrypt(b"secret", b"camera:1"), b"camera:2")


def test_every_changed_byte_is_noticed() -> None:
    ciphertext = RING.encrypt(b"secret", b"place")
    for position in range(len(ciphertext)):
        changed = bytearray(ciphertext)
        changed[position] ^= 1
        with pytest.raises(DecryptionError):
            RING.decrypt(bytes(changed), b"place")


@pytest.mark.parametrize("ciphertext", [b"", b"\x01", b"\x01\xff", b"\x02\x04abcd", b"\x01\x042026", b"\x01\x042026x"])
def test_what_is_no_ciphertext_is_refused(ciphertext: bytes) -> None:
    with pytest.raises(DecryptionError):
        RING.decrypt(ciphertext, b"place")


def test_a_key_that_was_dropped_cannot_be_used() -> None:
    with pytest.raises(DecryptionError, match="no key '2025'"):
        KeyRing([NEW]).decrypt(KeyRing([OLD]).encrypt(b"secret", b""), b"")


def test_two_ciphertexts_of_one_secret_differ() -> None:
    assert RING.encrypt(b"secret", b"") != RING.encrypt(b"secret", b"")


def test_a_ring_is_read_from_its_setting() -> None:
    text = ",".join(f"{key.key_id}:{base64.b64encode(key.secret).decode()}" for key in (NEW, OLD))
    ring = KeyRing.parse(text)
    assert ring.current == "2026"
    assert ring.decrypt(RING.encrypt(b"secret", b""), b"") == b"secret"


@pytest.mark.parametrize("text", ["", "no-colon", "id:not base64!", "id:c2hvcnQ=", f":{'A' * 44}"])
def test_a_setting_that_is_no_ring_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="key") as refused:
        KeyRing.parse(text)
    assert "c2hvcnQ" not in str(refused.value)


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        KeyRing([OLD, OLD])


def test_an_empty_ring_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        KeyRing([])


def test_a_key_is_never_printed() -> None:
    assert repr(OLD) == "Key(key_id='2025')"


def test_keys_of_unequal_purposes_are_unrelated() -> None:
    assert set(RING.derive("paging")).isdisjoint(RING.derive("images"))
    assert RING.derive("paging") == RING.derive("paging")


def test_a_signature_of_the_old_key_is_verified_after_a_rotation() -> None:
    signature = sign(KeyRing([OLD]).derive("images"), b"message")
    assert verify(RING.derive("images"), b"message", signature)
    assert not verify(KeyRing([NEW]).derive("images"), b"message", signature)
    assert not verify(RING.derive("images"), b"another", signature)
    assert not verify(RING.derive("images"), b"message", signature[:-1])
