"""Of a request that carries a secret, only a keyed digest of it is ever kept."""

from __future__ import annotations

from footfall.registry.v1 import camera_pb2, source_pb2, user_pb2

from svc_registry.transactions import without_secrets

KEY, OTHER_KEY = b"a" * 32, b"b" * 32
REQUEST = user_pb2.CreateUserRequest(user=user_pb2.User(email="anne@acme.test", password="correct horse"))


def test_a_password_is_replaced_and_the_rest_stays() -> None:
    kept = without_secrets(REQUEST, KEY)
    assert isinstance(kept, user_pb2.CreateUserRequest)
    assert kept.user.email == "anne@acme.test"
    assert "correct horse" not in str(kept.SerializeToString())
    assert REQUEST.user.password == "correct horse"


def test_equal_secrets_stay_equal_and_unequal_ones_unequal() -> None:
    other = user_pb2.CreateUserRequest(user=user_pb2.User(email="anne@acme.test", password="Correct horse"))
    assert without_secrets(REQUEST, KEY) == without_secrets(REQUEST, KEY)
    assert without_secrets(REQUEST, KEY) != without_secrets(other, KEY)


def test_without_the_key_nobody_can_guess_on() -> None:
    assert without_secrets(REQUEST, KEY) != without_secrets(REQUEST, OTHER_KEY)


def test_a_camera_password_deep_within_is_replaced_too() -> None:
    source = source_pb2.CameraSource(uri="rtsp://cam-1/live", username="admin", password="s3cret")
    kept = without_secrets(camera_pb2.CreateCameraRequest(camera=camera_pb2.Camera(source=source)), KEY)
    assert b"s3cret" not in kept.SerializeToString()
    assert b"rtsp://cam-1/live" in kept.SerializeToString()
