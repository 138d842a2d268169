"""Who may call which RPC of svc_identity."""

from __future__ import annotations

from typing import Final

from footfall.identity.v1 import calibration_pb2, customer_pb2, match_pb2, staff_pb2

from mesh.access import ADMINS, MANAGERS, WORKERS, Policy, Role, Rule, TenantFrom, rules

MATCHING: Final = match_pb2.DESCRIPTOR.services_by_name["MatchService"]
STAFF: Final = staff_pb2.DESCRIPTOR.services_by_name["StaffService"]
CUSTOMERS: Final = customer_pb2.DESCRIPTOR.services_by_name["CustomerService"]
CALIBRATION: Final = calibration_pb2.DESCRIPTOR.services_by_name["CalibrationService"]

_SEES: Final = Rule(roles=MANAGERS)
_READS_PEOPLE: Final = Rule(roles=MANAGERS | {Role.PRIVACY_OFFICER})
_ERASES: Final = Rule(roles=ADMINS | {Role.PRIVACY_OFFICER})
# Detecting and embedding wait their turn on one thread.
_LOOKS_AT_PICTURES: Final = Rule(roles=MANAGERS, default_seconds=60.0)

POLICY: Final[Policy] = {
    # Between services alone: no token opens it, and no other peer's certificate.
    **rules(MATCHING, MatchFaces=Rule(peers=frozenset({"svc-ingest"}), tenant=TenantFrom.METADATA)),
    **rules(
        STAFF,
        ListStaff=_SEES,
        GetStaff=_SEES,
        CreateStaff=_SEES,
        UpdateStaff=_SEES,
        DeleteStaff=_SEES,
        ImportStaff=_LOOKS_AT_PICTURES,
        ListStaffFaces=_SEES,
        AddStaffFace=_LOOKS_AT_PICTURES,
        DeleteStaffFace=_SEES,
        SetPrimaryStaffFace=_SEES,
        TestRecognition=_LOOKS_AT_PICTURES,
        RecalculateStaffEmbeddings=Rule(roles=ADMINS, default_seconds=60.0),
        WatchGallery=Rule(roles=WORKERS),
    ),
    **rules(
        CUSTOMERS,
        ListCustomers=_READS_PEOPLE,
        GetCustomer=_READS_PEOPLE,
        CreateCustomer=_LOOKS_AT_PICTURES,
        UpdateCustomer=_SEES,
        DeleteCustomer=_SEES,
        MergeCustomers=_SEES,
        UnmergeCustomer=_SEES,
        MoveSighting=_SEES,
        RematchSightings=_SEES,
        ListMergeCandidates=_SEES,
        EraseCustomer=_ERASES,
        GetErasureReceipt=_ERASES,
    ),
    **rules(CALIBRATION, Rule(roles=ADMINS)),
}
