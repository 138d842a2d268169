import pytest

from mesh.mounts import Mount, generic_handler, unbuilt
from tests.support.mesh_service import AUTH, FEED, INGEST, Auth, Ingest


def test_rpcs_that_nobody_wrote_are_listed() -> None:
    ingest = Ingest()  # type: ignore[abstract]  # the rest is not built
    assert unbuilt([Mount(INGEST, ingest), Mount(FEED)]) == sorted(
        [f"footfall.ingest.v1.FeedService/{method.name}" for method in FEED.methods]
        + [f"footfall.ingest.v1.IngestService/{m.name}" for m in INGEST.methods if m.name != "StreamFaces"]
    )


def test_a_method_that_the_contract_has_not_keeps_the_server_from_starting() -> None:
    class Misspelt(Ingest):
        async def IngestFaces(self, request: object, context: object) -> None: ...

    misspelt = Misspelt()  # type: ignore[abstract]  # the rest is not built
    with pytest.raises(TypeError, match="IngestFaces"):
        generic_handler(Mount(INGEST, misspelt))


def test_an_inherited_rpc_is_built() -> None:
    class Derived(Auth):
        pass

    derived = Derived()  # type: ignore[abstract]  # the rest is not built
    assert unbuilt([Mount(AUTH, derived)]) == unbuilt([Mount(AUTH, Auth())])  # type: ignore[abstract]  # the rest is not built
