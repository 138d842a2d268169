"""Every table, grant and policy of the mesh. `schema.metadata` holds all tables; one module per writing service."""

from schema import identity, ingest, registry, reports
from schema.common import SYSTEM_TENANT_ID, metadata

__all__ = ["SYSTEM_TENANT_ID", "identity", "ingest", "metadata", "registry", "reports"]
