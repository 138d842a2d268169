"""What reflection tells of at the gateway: every service that it routes. Reflection is answered by the registry there.

Importing the contracts is what makes their descriptors known to it.
"""

from __future__ import annotations

from typing import Final

from footfall.identity.v1 import calibration_pb2, customer_pb2, staff_pb2
from footfall.ingest.v1 import feed_pb2, ingest_pb2
from footfall.reports.v1 import alert_pb2, audit_pb2, job_pb2, report_pb2, visit_pb2

_CONTRACTS: Final = (
    *(calibration_pb2, customer_pb2, staff_pb2),
    *(feed_pb2, ingest_pb2),
    *(alert_pb2, audit_pb2, job_pb2, report_pb2, visit_pb2),
)

OTHERS: Final = tuple(
    sorted(service.full_name for file in _CONTRACTS for service in file.DESCRIPTOR.services_by_name.values())
)
"""The services of the registry's neighbours, as "footfall.ingest.v1.FeedService"."""
