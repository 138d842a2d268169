import pytest

from mesh.mounts import Mount, generic_handler, unbuilt
from tests.support.mesh_service import AUTH, FEED, INGEST, Auth, Ingest


def test_rpcs_that_nobody_wrote_are_listed():
    assert unbuilt([Mount(INGEST, Ingest()), Mount(FEED)]) == sorted(
        [f"footfall.ingest.v1.FeedService/{method.name}" for method in FEED.methods]
        + [f"footfall.ingest.v1.IngestService/{m.name}" for m in INGEST.methods if m.name != "StreamFaces"]
    )


def test_a_method_that_the_contract_has_not_keeps_the_server_from_starting():
    class Misspelt(Ingest):
        async def IngestFaces(self, request, context): ...

    with pytest.raises(TypeError, match="IngestFaces"):
        generic_handler(Mount(INGEST, Misspelt()))


def test_an_inherited_rpc_is_built():
    class Derived(Auth):
        pass

    assert unbuilt([Mount(AUTH, Derived())]) == unbuilt([Mount(AUTH, Auth())])
