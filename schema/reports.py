"""Tables that svc_reports writes: counted days, and the books that everybody writes in.

bucket_counts, visitor_day   rollups of clean days        | sealed_days   days whose rows are gone; their numbers stay
jobs, alerts                 what runs, what is wrong     | exports, count_checks
audit_entries                every service inserts, svc_reports chains | audit_heads, audit_anchors
"""

from __future__ import annotations

from sqlalchemy import ARRAY, CheckConstraint, Column, Date, Index, Integer, text

from schema.common import (
    REPORTS,
    Xid8,
    applied_table,
    big,
    create_time,
    document,
    flag,
    ident,
    of_tenant,
    one_of,
    raw,
    reference,
    request_table,
    tenant_table,
    time,
    whole,
    words,
)

bucket_counts = tenant_table(
    "bucket_counts",
    words("grain"),
    ident("scope_id", comment="A site, or the tenant itself"),
    Column("local_date", Date, nullable=False, comment="First day of the bucket"),
    whole("visits"),
    whole("unique_visitors"),
    whole("new_visitors"),
    Column("hours", ARRAY(Integer), comment="For DAY: visits, unique, new of each local hour (23 to 25 hours)"),
    whole("dwell_known", default=0),
    whole("dwell_median_seconds", null=True),
    Column("count_time", time("count_time").type, nullable=False, server_default=text("now()")),
    one_of("grain", "DAY", "WEEK", "MONTH"),
    service=REPORTS,
    key=("grain", "scope_id", "local_date"),
    # The tenant's own rows are of no site, so a site_manager does not see them.
    site_column="scope_id",
    comment="Counted buckets of clean days.",
)

visitor_day = tenant_table(
    "visitor_day",
    ident("site_id"),
    Column("local_date", Date, nullable=False),
    ident("customer_id"),
    whole("visits"),
    time("start_time", null=False, comment="Of the first visit of that day there"),
    whole("dwell_seconds", null=True),
    flag("is_first", default=False, comment="The customer's first visit at any site began in it"),
    Index("visitor_day_date_idx", "tenant_id", "local_date"),
    Index("visitor_day_customer_idx", "tenant_id", "customer_id"),
    service=REPORTS,
    key=("site_id", "local_date", "customer_id"),
    comment="Who was where on which day: for ranges that are no bucket.",
)

sealed_days = tenant_table(
    "sealed_days",
    ident("site_id"),
    Column("local_date", Date, nullable=False),
    Column("seal_time", time("seal_time").type, nullable=False, server_default=text("now()")),
    reference("site_id", "sites"),
    service=REPORTS,
    key=("site_id", "local_date"),
    comment="Days that are counted for good, because their rows expire.",
)

jobs = tenant_table(
    "jobs",
    ident(),
    words("kind"),
    words("state", default="QUEUED"),
    whole("attempt", default=0),
    document("counts"),
    document("problem", null=True, comment="footfall.type.v1.Problem, for FAILED"),
    ident("subject_id", null=True, comment="Who started it; null: the schedule"),
    Column("schedule_time", time("schedule_time").type, nullable=False, server_default=text("now()")),
    time("start_time"),
    time("end_time"),
    of_tenant(),
    one_of("state", "QUEUED", "RUNNING", "SUCCEEDED", "FAILED"),
    Index("jobs_list_idx", "tenant_id", "schedule_time", "id"),
    service=REPORTS,
    comment="Runs of jobs, by tenant.",
)

alerts = tenant_table(
    "alerts",
    ident(),
    words("kind"),
    words("severity", default="WARNING"),
    ident("site_id", null=True),
    ident("camera_id", null=True),
    ident("worker_id", null=True),
    ident("subject_id", comment="What it is about: camera, worker, webhook, job, or the tenant"),
    words("message", comment="For people"),
    words("note", default=""),
    Column("start_time", time("start_time").type, nullable=False, server_default=text("now()")),
    time("end_time", comment="When it was over"),
    time("acknowledge_time"),
    ident("acknowledge_user_id", null=True),
    of_tenant(),
    reference("site_id", "sites"),
    one_of("severity", "INFO", "WARNING", "CRITICAL"),
    Index("alerts_open_key", "tenant_id", "kind", "subject_id", unique=True, postgresql_where=text("end_time IS NULL")),
    Index("alerts_list_idx", "tenant_id", "start_time", "id"),
    service=REPORTS,
    comment="What somebody should look at.",
)

exports = tenant_table(
    "exports",
    ident(),
    words("kind"),
    document("request"),
    words("state", default="RUNNING"),
    big("row_count", default=0),
    ident("subject_id"),
    create_time(),
    time("finish_time"),
    of_tenant(),
    one_of("state", "RUNNING", "FINISHED", "FAILED"),
    Index("exports_list_idx", "tenant_id", "create_time", "id"),
    service=REPORTS,
    comment="Exports that were made.",
)

count_checks = tenant_table(
    "count_checks",
    ident(),
    ident("site_id"),
    ident("camera_id", null=True),
    time("start_time", null=False),
    time("end_time", null=False),
    whole("manual_count"),
    whole("counted"),
    words("note", null=True),
    ident("subject_id"),
    create_time(),
    reference("site_id", "sites"),
    reference("camera_id", "cameras"),
    CheckConstraint("start_time < end_time", name="span"),
    Index("count_checks_list_idx", "tenant_id", "site_id", "start_time"),
    service=REPORTS,
    comment="Counts by hand, next to ours.",
)

audit_entries = tenant_table(
    "audit_entries",
    ident(),
    Column("act_time", time("act_time").type, nullable=False, server_default=text("now()")),
    words("service"),
    words("actor_kind"),
    ident("actor_id", null=True),
    words("actor_role", null=True),
    words("action", comment="A verb and a noun: site.create"),
    words("target_kind", null=True),
    ident("target_id", null=True),
    ident("site_id", null=True),
    words("outcome", default="SUCCEEDED", comment="INTENT first for acts beyond one store"),
    words("error_reason", null=True, comment="ErrorReason without its prefix"),
    words("reason", null=True, comment="Why, as the actor gave it"),
    ident("request_id", null=True),
    words("remote_address", null=True),
    document("details", comment="Ids and numbers, never names"),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    big("seq", null=True, comment="Place in the chain; null until sealed"),
    raw("previous_hash", null=True),
    raw("hash", null=True, comment="sha256 over the row and previous_hash"),
    time("seal_time"),
    of_tenant(),
    one_of("actor_kind", "USER", "API_KEY", "WORKER", "SERVICE", "OPERATOR"),
    one_of("outcome", "INTENT", "SUCCEEDED", "REFUSED", "FAILED"),
    CheckConstraint("num_nulls(seq, previous_hash, hash, seal_time) IN (0, 4)", name="sealed"),
    Index("audit_entries_seq_key", "tenant_id", "seq", unique=True),
    Index("audit_entries_open_idx", "tenant_id", "xid", postgresql_where=text("seq IS NULL")),
    Index("audit_entries_list_idx", "tenant_id", "act_time", "id"),
    service=REPORTS,
    site_column=None,  # a site_manager's acts must be written down, whatever they are about
    comment="Who did what. Inserted in the act's own transaction by every service; nobody can change or remove a row.",
)

audit_heads = tenant_table(
    "audit_heads",
    big("seq"),
    raw("hash"),
    Column("seal_time", time("seal_time").type, nullable=False, server_default=text("now()")),
    of_tenant(),
    service=REPORTS,
    key=(),
    comment="Where each tenant's chain ends.",
)

audit_anchors = tenant_table(
    "audit_anchors",
    big("seq"),
    raw("hash"),
    raw("signature"),
    Column("anchor_time", time("anchor_time").type, nullable=False, server_default=text("now()")),
    of_tenant(),
    service=REPORTS,
    key=("seq",),
    comment="Heads that were also written, signed, outside the database.",
)

reports_applied_acts = applied_table(REPORTS)
reports_requests = request_table(REPORTS)
