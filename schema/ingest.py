"""Tables that svc_ingest writes: what was seen, the visits it adds up to, and who is told.

face_events        one sighting each, partitioned by month of its UUIDv7 | quarantined_events  judged by a person first
visits             sightings of one customer at one site, folded         | visit_feed   what changed, in commit order
dirty_days         days whose numbers changed (svc_reports removes them) | face_images  snapshots and where they lie
event_tombstones   events that must not come back                        | webhooks, webhook_deliveries

No foreign key leads from here to customers: matching commits first, in svc_identity, and an erase reaches both sides by
the outbox. Nor from the hot tables to tenants: the camera, and the policy on every row, say enough.
"""

from __future__ import annotations

from sqlalchemy import ARRAY, REAL, BigInteger, CheckConstraint, Column, Date, Identity, Index, Uuid, text

from schema.common import (
    INGEST,
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
    sealed,
    tenant_table,
    time,
    update_time,
    whole,
    words,
)

face_events = tenant_table(
    "face_events",
    ident(comment="UUIDv7 of capture_time, made by the agent"),
    ident("site_id"),
    ident("camera_id"),
    ident("worker_id", null=True, comment="Null for integrators"),
    big("lease_epoch"),
    time("capture_time", null=False, comment="Of the best shot, corrected once, at capture"),
    time("track_start_time", null=False),
    time("track_end_time", null=False),
    whole("clock_offset_ms", default=0),
    whole("clock_uncertainty_ms", default=0),
    Column("quality", REAL, nullable=False, comment="FaceQuality.overall"),
    Column("detection_score", REAL),
    whole("face_pixels", null=True),
    Column("yaw_degrees", REAL),
    Column("box", ARRAY(REAL), comment="left, top, width, height in fractions of the frame"),
    words("gender", null=True),
    words("space", null=True, comment="Of the embedding"),
    sealed("embedding", "512 float32; gone with the raw image", null=True),
    sealed("second_embedding", "another shot of the same track, on a sample of events", null=True),
    ident("staff_hint_id", null=True),
    words("verdict", comment="ANONYMOUS: the site's privacy mode asked for no decision"),
    ident("matched_customer_id", null=True, comment="Whom matching named; never changes"),
    ident("customer_id", null=True, comment="Whose it is today: after merges, unmerges and moved sightings"),
    ident("staff_id", null=True),
    ident("embedding_id", null=True, comment="The gallery's embedding that it matched"),
    Column("similarity", REAL),
    Column("threshold", REAL),
    flag("counts", default=True, comment="False once its person became staff and earlier visits were to go too"),
    ident("visit_id", null=True, comment="Set by the fold"),
    raw("body_hash", null=True, comment="sha256 of the event as sent: other content under the same id is refused"),
    Column("receive_time", time("receive_time").type, nullable=False, server_default=text("now()")),
    reference("camera_id", "cameras"),
    one_of("verdict", "MATCHED", "ENROLLED", "STAFF", "UNDECIDED", "ANONYMOUS"),
    CheckConstraint("track_start_time <= track_end_time", name="track"),
    CheckConstraint("customer_id IS NULL OR staff_id IS NULL", name="person"),
    Index(
        "face_events_fold_idx",
        "tenant_id",
        "customer_id",
        "site_id",
        "track_start_time",
        postgresql_where=text("customer_id IS NOT NULL"),
    ),
    Index("face_events_visit_idx", "tenant_id", "visit_id", postgresql_where=text("visit_id IS NOT NULL")),
    # Every index but the key is partial, so that none but the key fits a search by id: to a planner that knows nothing
    # of a new month's table yet, any index that begins with the tenant would do as well.
    Index(
        "face_events_camera_idx",
        "tenant_id",
        "camera_id",
        "capture_time",
        postgresql_where=text("camera_id IS NOT NULL"),
    ),
    Index("face_events_embedding_idx", "tenant_id", "capture_time", postgresql_where=text("embedding IS NOT NULL")),
    service=INGEST,
    comment="Sightings, each once. Partitioned by month of the id; only the parent is granted to anybody.",
    postgresql_partition_by="RANGE (id)",
)

quarantined_events = tenant_table(
    "quarantined_events",
    ident(comment="The event's"),
    ident("site_id"),
    ident("camera_id"),
    ident("worker_id", null=True),
    big("lease_epoch"),
    time("capture_time", null=False),
    words("reason", comment="ErrorReason without its prefix"),
    sealed("payload", "the whole FaceDetected, for a later release", null=True),
    words("state", default="WAITING"),
    Column("receive_time", time("receive_time").type, nullable=False, server_default=text("now()")),
    time("end_time", comment="Released or discarded"),
    ident("end_user_id", null=True, comment="By whom"),
    time("expire_time", null=False, comment="Discarded by itself: the payload holds a face"),
    reference("camera_id", "cameras"),
    one_of("state", "WAITING", "RELEASED", "DISCARDED"),
    Index("quarantined_events_list_idx", "tenant_id", "receive_time", "id"),
    service=INGEST,
    comment="Events that arrived under a lease that was over: kept, not matched, until somebody decides.",
)

visits = tenant_table(
    "visits",
    ident(),
    ident("customer_id"),
    ident("site_id"),
    Column("local_date", Date, nullable=False, comment="The business day in which it counts"),
    time("start_time", null=False, comment="track_start_time of the first sighting"),
    time("end_time", null=False, comment="Latest track_end_time"),
    whole("sighting_count"),
    whole("dwell_seconds", null=True, comment="Null: one track too short to tell"),
    ident("first_event_id"),
    ident("best_event_id", comment="The sighting of the best quality"),
    ident("first_camera_id", comment="Of the first sighting"),
    ident("last_camera_id", comment="Of the sighting that ends it"),
    words("state", default="LIVE"),
    ident("superseded_by", null=True, comment="The visit that took its sightings over"),
    create_time(),
    update_time(),
    one_of("state", "LIVE", "SUPERSEDED", "RETRACTED"),
    CheckConstraint("(state = 'SUPERSEDED') = (superseded_by IS NOT NULL)", name="superseded"),
    Index("visits_site_idx", "tenant_id", "site_id", "start_time", "id", postgresql_where=text("state = 'LIVE'")),
    Index("visits_time_idx", "tenant_id", "start_time", "id", postgresql_where=text("state = 'LIVE'")),
    Index("visits_customer_idx", "tenant_id", "customer_id", "start_time"),
    service=INGEST,
    comment="What the fold makes of sightings (schema/visits.py). Those that are over stay, to be told about.",
)

visit_feed = tenant_table(
    "visit_feed",
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column(
        "xid",
        Xid8,
        nullable=False,
        server_default=text("pg_current_xact_id()"),
        comment="A reader stops below its snapshot's xmin: rows that commit later come later",
    ),
    ident("visit_id"),
    ident("site_id"),
    words("kind"),
    create_time(),
    one_of("kind", "CREATED", "UPDATED", "REMOVED"),
    service=INGEST,
    key=("xid", "seq"),
    comment="Changes of visits, as footfall.ingest.v1.VisitChange.Kind names them. A cursor is (xid, seq).",
)

dirty_days = tenant_table(
    "dirty_days",
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    ident("site_id"),
    Column("local_date", Date, nullable=False),
    create_time(),
    Index("dirty_days_day_idx", "tenant_id", "local_date", "site_id"),
    service=INGEST,
    key=("seq",),
    comment="Days to count again. Append-only: the same day may be marked often; svc_reports deletes what it has seen.",
)

face_images = tenant_table(
    "face_images",
    ident(),
    ident("event_id"),
    ident("site_id"),
    ident("camera_id"),
    words("object_key", null=True, comment="Null once the sweep has removed the object"),
    raw("sha256"),
    whole("bytes"),
    whole("width"),
    whole("height"),
    words("content_type"),
    time("capture_time", null=False),
    words("state", default="STORED"),
    create_time(),
    time("expire_time", null=False),
    time("delete_time"),
    reference("camera_id", "cameras"),
    one_of("state", "STORED", "DELETED"),
    CheckConstraint("(state = 'STORED') = (object_key IS NOT NULL)", name="object"),
    Index("face_images_event_key", "tenant_id", "event_id", unique=True),
    Index("face_images_expiry_idx", "tenant_id", "expire_time", postgresql_where=text("state = 'STORED'")),
    service=INGEST,
    comment="Snapshots of events.",
)

event_tombstones = tenant_table(
    "event_tombstones",
    ident("event_id"),
    create_time(),
    time("expire_time", null=False, comment="No spool is older"),
    # Partial for the same reason as the indexes of face_events.
    Index("event_tombstones_expiry_idx", "tenant_id", "expire_time", postgresql_where=text("expire_time IS NOT NULL")),
    service=INGEST,
    key=("event_id",),
    comment="Events of erased people: a replay is refused.",
)

webhooks = tenant_table(
    "webhooks",
    ident(),
    words("display_name", default=""),
    words("url"),
    sealed("secret", "what deliveries are signed with"),
    Column("site_ids", ARRAY(Uuid), nullable=False, server_default="{}", comment="Empty: every site"),
    flag("paused", default=False),
    time("delivery_time", comment="Last success"),
    document("problem", null=True, comment="footfall.type.v1.Problem of the last failure"),
    Column("cursor_xid", Xid8, comment="Everything of the feed up to here has been made into deliveries"),
    big("cursor_seq", null=True),
    whole("failure_count", default=0),
    create_time(),
    update_time(),
    time("delete_time"),
    of_tenant(),
    service=INGEST,
    comment="Addresses that want to hear of visits.",
)

webhook_deliveries = tenant_table(
    "webhook_deliveries",
    ident(),
    ident("webhook_id"),
    ident("visit_id"),
    words("kind"),
    words("state", default="PENDING"),
    whole("attempt_count", default=0),
    whole("response_status", null=True),
    words("error", null=True, comment="For people; no body of theirs"),
    create_time(),
    time("attempt_time"),
    time("next_attempt_time"),
    reference("webhook_id", "webhooks", on_delete="CASCADE"),
    one_of("state", "PENDING", "DELIVERED", "FAILED"),
    Index("webhook_deliveries_due_idx", "tenant_id", "next_attempt_time", postgresql_where=text("state = 'PENDING'")),
    Index("webhook_deliveries_hook_idx", "tenant_id", "webhook_id", "create_time"),
    service=INGEST,
    comment="What was or is to be delivered.",
)

ingest_applied_acts = applied_table(INGEST)
ingest_requests = request_table(INGEST)
