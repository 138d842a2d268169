"""Only the models of the manifest run, and only with their own bytes."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vision import demo, manifest
from vision.inference import ProviderUnavailable, open_session
from vision.manifest import ModelMissing, UnknownModel, WrongChecksum, load, missing, read, verified

SPACE = re.compile(r"^[a-z0-9][a-z0-9-]{0,47}@[1-9][0-9]{0,5}$")


def test_the_defaults_may_be_used_by_anybody() -> None:
    for entry in read().defaults():
        assert entry.licence == "Apache-2.0"
        assert not entry.consent
        assert entry.urls


def test_every_entry_is_complete() -> None:
    entries = read().entries
    assert len({entry.name for entry in entries}) == len(entries)
    assert len({entry.sha256 for entry in entries}) == len(entries)
    for entry in entries:
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.bytes > 100_000
        assert all(url.startswith("https://") for url in entry.urls)
        assert (entry.kind == "embedder") == (entry.embedder is not None)
        assert entry.family in ({"arcface"} if entry.embedder else {"yunet", "scrfd"})
        assert Path(entry.file).name == entry.file


def test_every_embedder_has_a_space_of_its_own_and_a_threshold() -> None:
    facts = [entry.embedder for entry in read().entries if entry.embedder]
    assert len({each.space for each in facts} | {demo.SPACE}) == len(facts) + 1
    for each in facts:
        assert SPACE.fullmatch(each.space)
        assert 0.2 < each.match_threshold < 0.6
        assert 1 <= each.dimension <= 512


def test_non_commercial_licences_need_consent() -> None:
    for entry in read().entries:
        assert entry.consent == ("non-commercial" in entry.licence)


def test_a_space_names_its_threshold() -> None:
    assert read().threshold("mobilefacenet-ms1m@1") == 0.40
    assert read().threshold("unheard-of@1") is None


def test_a_file_with_other_bytes_is_refused_naming_both_sums(tmp_path: Path) -> None:
    entry = read().defaults()[0]
    (tmp_path / entry.file).write_bytes(b"something else")
    with pytest.raises(WrongChecksum) as refusal:
        verified(tmp_path, entry)
    message = str(refusal.value)
    assert entry.file in message
    assert entry.sha256 in message
    assert hashlib.sha256(b"something else").hexdigest() in message


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    entry = read().defaults()[1]
    with pytest.raises(ModelMissing, match="make models") as refusal:
        verified(tmp_path, entry)
    assert entry.file in str(refusal.value)
    assert [each.name for each in missing(tmp_path)] == [each.name for each in read().defaults()]


def test_a_right_file_is_read(tmp_path: Path) -> None:
    entry = replace(read().defaults()[0], sha256=hashlib.sha256(b"weights").hexdigest())
    (tmp_path / entry.file).write_bytes(b"weights")
    assert verified(tmp_path, entry) == b"weights"
    assert missing(tmp_path, [entry]) == ()


def test_an_unknown_model_is_refused_naming_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="yunet-dynamic"):
        load(tmp_path, detector="yolo")
    with pytest.raises(UnknownModel, match="mobilefacenet-ms1m"):
        load(tmp_path, embedder="yunet-dynamic")


def test_a_provider_that_is_not_here_is_refused_rather_than_replaced() -> None:
    with pytest.raises(ProviderUnavailable, match=r"usable: .*cpu"):
        open_session(b"", "abacus")


def test_the_default_models_load_and_answer(models_folder: Path) -> None:
    models = manifest.load(models_folder)
    assert models.names == ("yunet-dynamic", "mobilefacenet-ms1m")
    assert models.match_threshold == 0.40
    assert models.detector.detect(np.zeros((90, 120, 3), np.uint8)) == []
    embedding = models.embedder.embed(np.full((112, 112, 3), 90, np.uint8))
    assert embedding.shape == (512,)
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)
