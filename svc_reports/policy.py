"""Who may call which RPC of svc_reports."""

from __future__ import annotations

from footfall.reports.v1 import alert_pb2, audit_pb2, job_pb2, report_pb2, visit_pb2

from mesh.access import ADMINS, MANAGERS, Policy, Role, Rule, rules

VISIT_SERVICE = visit_pb2.DESCRIPTOR.services_by_name["VisitService"]
REPORT_SERVICE = report_pb2.DESCRIPTOR.services_by_name["ReportService"]
AUDIT_SERVICE = audit_pb2.DESCRIPTOR.services_by_name["AuditService"]
JOB_SERVICE = job_pb2.DESCRIPTOR.services_by_name["JobService"]
ALERT_SERVICE = alert_pb2.DESCRIPTOR.services_by_name["AlertService"]

_COUNTS = Rule(roles=MANAGERS | {Role.VIEWER})

POLICY: Policy = {
    **rules(
        VISIT_SERVICE,
        ListVisits=_COUNTS,
        # Candidates are faces' doings: not for viewers.
        ExplainVisit=Rule(roles=MANAGERS),
    ),
    **rules(
        REPORT_SERVICE,
        GetVisitorSeries=_COUNTS,
        GetDistribution=_COUNTS,
        ExportVisitorSeries=_COUNTS,
        ExportVisits=_COUNTS,
        CreateCountCheck=Rule(roles=MANAGERS),
        ListCountChecks=_COUNTS,
    ),
    **rules(AUDIT_SERVICE, Rule(roles=ADMINS | {Role.PRIVACY_OFFICER})),
    **rules(JOB_SERVICE, Rule(roles=ADMINS)),
    **rules(ALERT_SERVICE, Rule(roles=MANAGERS)),
}
