"""What the settings make of the embedding spaces and of the index's address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from svc_identity.settings import IdentitySettings
from svc_identity.wiring import default_policies, load_models
from vision import demo, manifest
from vision.manifest import ModelMissing


def settings(tmp_path: Path, **changes: Any) -> IdentitySettings:
    pem = tmp_path / "x.pem"
    pem.touch()
    return IdentitySettings(
        **{
            "listen": "127.0.0.1:0",
            "metrics_listen": "127.0.0.1:0",
            "database_url": "postgresql://svc_identity:x@127.0.0.1:1/footfall",
            "tls_ca": pem,
            "tls_cert": pem,
            "tls_key": pem,
            "master_keys": "k:" + "A" * 43 + "=",
            "registry_target": "127.0.0.1:1",
            "images": "folder:///x",
            "vectors": "/somewhere/vectors",
            "models": None,
            **changes,
        }
    )


def test_without_weights_only_the_demos_own_space_is_used(tmp_path: Path) -> None:
    assert {space: policy.threshold for space, policy in default_policies(settings(tmp_path)).items()} == {
        demo.SPACE: demo.MATCH_THRESHOLD
    }


def test_with_weights_every_space_of_the_manifest_has_its_own_threshold(tmp_path: Path) -> None:
    policies = default_policies(settings(tmp_path, models=tmp_path, founding_quality=0.5))
    known = manifest.read()
    assert demo.SPACE not in policies
    assert {space: policy.threshold for space, policy in policies.items()} == {
        space: known.threshold(space) for space in policies
    }
    assert len(policies) > 1
    assert {policy.founding_quality for policy in policies.values()} == {0.5}


def test_a_folder_without_the_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="FOOTFALL_MODELS"):
        load_models(settings(tmp_path, models=tmp_path))
    assert load_models(settings(tmp_path)).embedder.space == demo.SPACE


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("/somewhere/vectors", "/somewhere/vectors/faces.db"),
        ("/somewhere/own.db", "/somewhere/own.db"),
        ("http://milvus:19530", "http://milvus:19530"),
    ],
)
def test_a_folder_of_vectors_becomes_milvus_lites_file(tmp_path: Path, given: str, uri: str) -> None:
    assert settings(tmp_path, vectors=given).index_uri == uri
