"""What the gateway knows about the contracts beyond the descriptor set: who is kept out, and who needs no token.

The document of the JSON API and the tests of the contracts read these lists too.
"""

from __future__ import annotations

PACKAGES = ("registry", "ingest", "identity", "reports")
"""``footfall.<package>.v1`` is served by the peer ``svc-<package>``."""

MESH_ONLY_SERVICES = frozenset({"footfall.identity.v1.MatchService", "footfall.registry.v1.PreviewRelayService"})
"""For mesh peers: never routed."""

PUBLIC_RPCS = frozenset(
    {
        "footfall.registry.v1.AuthService.IssueToken",
        "footfall.registry.v1.AuthService.GetJwks",
        "footfall.ingest.v1.FeedService.GetImage",
    }
)
"""Without a token: how one gets it, how it is verified, and pictures, whose address is signed."""
