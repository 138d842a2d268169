"""`make models` lays down what was accepted, whole and verified, or nothing."""

import hashlib
import io
import urllib.error
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from vision.manifest import Archive, ModelEntry, WrongChecksum, read
from vision.models import DownloadFailed, Opener, fetch, main, over_https

WEIGHTS = b"the weights" * 1000


def _sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def entry() -> ModelEntry:
    """An entry whose bytes are WEIGHTS, at two addresses."""
    return replace(
        read().defaults()[0],
        bytes=len(WEIGHTS),
        sha256=_sha(WEIGHTS),
        urls=("https://one.example/model.onnx", "https://two.example/model.onnx"),
    )


def _serving(bodies: dict[str, bytes]) -> Opener:
    def opener(url: str) -> Iterable[bytes]:
        if url not in bodies:
            raise urllib.error.URLError("Name or service not known")
        for start in range(0, len(bodies[url]), 1000):
            yield bodies[url][start : start + 1000]

    return opener


def test_a_model_is_fetched_and_verified(entry: ModelEntry, tmp_path: Path) -> None:
    path = fetch(entry, tmp_path / "models", opener=_serving({entry.urls[0]: WEIGHTS}))
    assert path.read_bytes() == WEIGHTS
    assert [each.name for each in path.parent.iterdir()] == [entry.file]


def test_a_second_address_stands_in_for_the_first(entry: ModelEntry, tmp_path: Path) -> None:
    assert fetch(entry, tmp_path, opener=_serving({entry.urls[1]: WEIGHTS})).is_file()


def test_wrong_bytes_leave_no_file(entry: ModelEntry, tmp_path: Path) -> None:
    wrong = b"x" * len(WEIGHTS)
    with pytest.raises(DownloadFailed) as failure:
        fetch(entry, tmp_path, opener=_serving(dict.fromkeys(entry.urls, wrong)))
    assert entry.sha256 in str(failure.value)
    assert _sha(wrong) in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_promised_are_not_swallowed(entry: ModelEntry, tmp_path: Path) -> None:
    read_so_far = 0

    def endless(_: str) -> Iterable[bytes]:
        nonlocal read_so_far
        while True:
            read_so_far += 1000
            yield b"x" * 1000

    with pytest.raises(DownloadFailed, match="more than the expected"):
        fetch(replace(entry, urls=entry.urls[:1]), tmp_path, opener=endless)
    assert read_so_far <= len(WEIGHTS) + 1000


def test_no_network_is_said_for_each_address(entry: ModelEntry, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as failure:
        fetch(entry, tmp_path, opener=_serving({}))
    for url in entry.urls:
        assert f"{url}: no connection (Name or service not known)" in str(failure.value)


def test_a_model_without_an_address_is_asked_for_by_hand(entry: ModelEntry, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="by hand"):
        fetch(replace(entry, urls=()), tmp_path, opener=_serving({}))


def test_a_file_that_is_there_and_right_is_not_fetched_again(entry: ModelEntry, tmp_path: Path) -> None:
    (tmp_path / entry.file).write_bytes(WEIGHTS)
    assert fetch(entry, tmp_path, opener=_serving({})) == tmp_path / entry.file


def test_a_file_that_is_there_and_wrong_is_not_overwritten(entry: ModelEntry, tmp_path: Path) -> None:
    (tmp_path / entry.file).write_bytes(b"mine")
    with pytest.raises(WrongChecksum):
        fetch(entry, tmp_path, opener=_serving({entry.urls[0]: WEIGHTS}))
    assert (tmp_path / entry.file).read_bytes() == b"mine"


def _zipped(name: str, body: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, body)
    return buffer.getvalue()


def test_a_model_comes_out_of_its_archive(entry: ModelEntry, tmp_path: Path) -> None:
    body = _zipped("inner.onnx", WEIGHTS)
    packed = replace(entry, archive=Archive("inner.onnx", len(body), _sha(body)))
    path = fetch(packed, tmp_path, opener=_serving({entry.urls[0]: body}))
    assert path.read_bytes() == WEIGHTS
    assert [each.name for each in tmp_path.iterdir()] == [entry.file]


def test_a_member_with_other_bytes_is_refused(entry: ModelEntry, tmp_path: Path) -> None:
    body = _zipped("inner.onnx", WEIGHTS + b"!")
    packed = replace(entry, urls=entry.urls[:1], archive=Archive("inner.onnx", len(body), _sha(body)))
    with pytest.raises(DownloadFailed, match=entry.sha256):
        fetch(packed, tmp_path, opener=_serving({entry.urls[0]: body}))
    assert list(tmp_path.iterdir()) == []


def test_only_https_is_fetched() -> None:
    with pytest.raises(ValueError, match="https only"):
        next(iter(over_https("http://one.example/model.onnx")))


def test_nothing_is_fetched_before_the_licence_is_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["scrfd-500m", "--folder", str(tmp_path)], opener=_serving({})) == 1
    said = capsys.readouterr().err
    assert "forbids commercial use" in said
    assert "--accept InsightFace-non-commercial-research" in said


def test_an_unknown_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yolo", "--folder", str(tmp_path)], opener=_serving({})) == 1
    assert "known: yunet-dynamic" in capsys.readouterr().err


def test_the_list_shows_every_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    for entry in read().entries:
        assert entry.name in said
        assert entry.licence in said
