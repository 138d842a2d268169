from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from mesh.clock import FakeClock
from mesh.errors import PermissionDenied
from mesh.ids import ImageId, TenantId
from mesh.keyring import Key, KeyRing
from mesh.objects import ImageSigner

TENANT, IMAGE = TenantId(uuid4()), ImageId(uuid4())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def signer(clock: FakeClock) -> ImageSigner:
    return ImageSigner(KeyRing([Key("a", b"a" * 32)]), clock)


def _signature(path: str) -> str:
    return parse_qs(urlsplit(path).query)["sig"][0]


def _expire(path: str) -> int:
    return int(parse_qs(urlsplit(path).query)["expire"][0])


def test_a_signed_path_tells_whose_image_it_is(signer: ImageSigner) -> None:
    signed = signer.path(TENANT, IMAGE)
    assert signed.path.startswith(f"/v1/images/{IMAGE}?sig=")
    assert signer.check(IMAGE, _signature(signed.path), _expire(signed.path)) == TENANT


def test_a_signature_is_good_for_one_image(signer: ImageSigner) -> None:
    path = signer.path(TENANT, IMAGE).path
    with pytest.raises(PermissionDenied) as refused:
        signer.check(ImageId(uuid4()), _signature(path), _expire(path))
    assert refused.value.reason_name == "SIGNATURE_INVALID"


def test_a_signature_ends(signer: ImageSigner, clock: FakeClock) -> None:
    signed = signer.path(TENANT, IMAGE)
    clock.advance(899)
    signer.check(IMAGE, _signature(signed.path), _expire(signed.path))
    clock.advance(1)
    assert clock.now() == signed.expire_time
    with pytest.raises(PermissionDenied):
        signer.check(IMAGE, _signature(signed.path), _expire(signed.path))


@pytest.mark.parametrize("signature", ["", "x", "AAAA", "é", "%2F", "A" * 48, "A" * 47, "A" * 4096])
def test_what_is_no_signature_is_refused(signer: ImageSigner, signature: str) -> None:
    with pytest.raises(PermissionDenied):
        signer.check(IMAGE, signature, _expire(signer.path(TENANT, IMAGE).path))


def test_nobody_prolongs_a_signature_or_changes_its_tenant(signer: ImageSigner) -> None:
    path = signer.path(TENANT, IMAGE).path
    good, expire = _signature(path), _expire(path)
    for position in range(len(good) - 1):  # the last character's lowest bits carry nothing
        changed = good[:position] + ("A" if good[position] != "A" else "B") + good[position + 1 :]
        with pytest.raises(PermissionDenied):
            signer.check(IMAGE, changed, expire)
    for other in (1, expire - 1, expire + 1, 2**62):
        with pytest.raises(PermissionDenied):
            signer.check(IMAGE, good, other)
