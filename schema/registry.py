"""Tables that svc_registry writes: who may do what, where the cameras are, and which worker watches which.

tenants             a customer of ours, with its policies        | tenant_ids   bare list of them, for jobs (no RLS)
sites               a place with a time zone and a privacy mode  | site_rules   what changes over time: gap, hours, …
cameras             source, credentials (sealed), role, settings | camera_reports  how each fares now
users, user_sites   people and the sites of site_managers        | api_keys     machines: workers, integrators
token_families, refresh_tokens   sign-ins that live on           | token_revocations  what must die now (no RLS)
signing_keys        of our JWTs (no RLS)                         | spool_keys   of the agents' spools (no RLS)
workers, worker_sessions   the fleet and its connections         | replicas, fleet_brakes   the registry's (no RLS)
leases              one row per camera: who watches it           | lease_epochs  who ever did, from when to when
commands            what workers were told                       | coverage_slices  what was watched, by quarter hour
"""

from __future__ import annotations

from sqlalchemy import ARRAY, CheckConstraint, Column, Date, Float, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from schema.common import (
    REGISTRY,
    act_table,
    applied_table,
    big,
    create_time,
    document,
    flag,
    ident,
    metadata,
    of_tenant,
    one_of,
    open_table,
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

# -- tenants ----------------------------------------------------------------------------------------------------------

tenants = Table(
    "tenants",
    metadata,
    ident(),
    words("display_name"),
    whole("image_retention_days", default=30, comment="Raw face images are gone after this"),
    whole("embedding_retention_days", default=365, comment="Embeddings expire this long after the last sighting"),
    whole("week_start_day", default=1, comment="ISO: 1 = Monday … 7 = Sunday"),
    flag("global_search", default=False, comment="Allows search between tenants that both allow it"),
    document("settings", comment="Limits and other policies that need no index"),
    create_time(),
    update_time(),
    time("delete_time", comment="Deleted by an administrator; can be undone until purge_time"),
    time("purge_time", comment="When everything of it is removed for good"),
    PrimaryKeyConstraint("id"),
    CheckConstraint("image_retention_days BETWEEN 1 AND 90", name="image_retention_days"),
    CheckConstraint("embedding_retention_days BETWEEN 1 AND 1825", name="embedding_retention_days"),
    CheckConstraint("week_start_day BETWEEN 1 AND 7", name="week_start_day"),
    comment="Customers of ours. Row level security on id.",
    info={"service": REGISTRY, "tenant_column": "id", "site_column": None},
)

tenant_ids = open_table(
    "tenant_ids",
    ident(),
    create_time(),
    time("delete_time", comment="As in tenants"),
    PrimaryKeyConstraint("id"),
    service=REGISTRY,
    comment="The ids of all tenants, for jobs that then work in one transaction per tenant. Nothing but ids and times.",
)

# -- places -----------------------------------------------------------------------------------------------------------

sites = tenant_table(
    "sites",
    ident(),
    words("display_name"),
    words("time_zone", comment="IANA name; business days follow it, so it changes only while there is no visit"),
    words("privacy_mode", default="FULL", comment="Chosen when the site is made"),
    words("lawful_basis", null=True),
    Column("signage_date", Date, comment="Since when visitors are told"),
    words("address", null=True),
    create_time(),
    update_time(),
    time("delete_time"),
    of_tenant(),
    one_of("privacy_mode", "FULL", "NO_SNAPSHOTS", "SAME_DAY", "ANONYMOUS"),
    service=REGISTRY,
    site_column="id",
    comment="Places where cameras hang.",
)

site_rules = tenant_table(
    "site_rules",
    ident("site_id"),
    time("effective_time", null=False, comment="From then on; the earliest rule also holds for all time before it"),
    whole("visit_gap_seconds", default=1800, comment="A longer gap between two sightings parts two visits"),
    whole("min_dwell_seconds", default=10, comment="A single track must be longer than this to tell a dwell"),
    whole("day_boundary_minutes", default=240, comment="A business day begins so long after local midnight: 04:00"),
    document("opening_hours", null=True, comment="registry.v1.OpeningHours as JSON; null means always open"),
    create_time(),
    reference("site_id", "sites", on_delete="CASCADE"),
    CheckConstraint("visit_gap_seconds BETWEEN 1 AND 86400", name="visit_gap_seconds"),
    CheckConstraint("min_dwell_seconds BETWEEN 0 AND 3600", name="min_dwell_seconds"),
    # No more than half a day: then the cuts of two days never change places, whatever is changed from when.
    CheckConstraint("day_boundary_minutes BETWEEN 0 AND 720", name="day_boundary_minutes"),
    service=REGISTRY,
    key=("site_id", "effective_time"),
    comment="What a site counts by, effective-dated: a change never rewrites the past.",
)

cameras = tenant_table(
    "cameras",
    ident(),
    ident("site_id"),
    words("display_name"),
    words("role", default="ENTRANCE"),
    words("source_uri", comment="rtsp, http, usb, file or folder; never with credentials in it"),
    time("recording_start_time", comment="Capture time of a film's first frame; null: as if captured when opened"),
    sealed("credentials", "user name and password of the source", null=True),
    document("masks", default="[]", comment="Polygons that are not looked at, in fractions of the frame"),
    document("settings", comment="Frame rate, smallest face, motion gate, …; absent means the default"),
    words("outage_policy", null=True, comment="Null: PINNED where the site has one worker, else FAILOVER"),
    flag("enabled", default=True),
    flag("processing", default=True, comment="False after STOP_PROCESSING: held open, not analysed"),
    ident("pinned_worker_id", null=True, comment="Watched by this worker only"),
    time("park_time", comment="Since when no worker is tried; retried hourly"),
    words("park_reason", null=True),
    create_time(),
    update_time(),
    time("delete_time"),
    reference("site_id", "sites"),
    reference("pinned_worker_id", "workers"),
    one_of("role", "ENTRANCE", "INTERIOR", "OUTSIDE"),
    one_of("outage_policy", "FAILOVER", "PINNED"),
    Index("cameras_site_idx", "tenant_id", "site_id"),
    service=REGISTRY,
    comment="Cameras, and how to watch them.",
)

camera_reports = tenant_table(
    "camera_reports",
    ident("camera_id"),
    ident("site_id"),
    ident("worker_id", null=True),
    big("epoch", default=0),
    words("activity", default="OPENING"),
    whole("frame_age_ms", null=True),
    Column("frame_rate", Float),
    document("problem", null=True, comment="footfall.type.v1.Problem, while FAILING"),
    whole("spool_events", default=0),
    time("complete_to_time", comment="Everything captured before it has arrived: the spool's watermark"),
    time("report_time", null=False, comment="Server time of the heartbeat"),
    reference("camera_id", "cameras", on_delete="CASCADE"),
    one_of("activity", "OPENING", "WATCHING", "PAUSED", "FAILING", "FINISHED"),
    service=REGISTRY,
    key=("camera_id",),
    comment="How each camera fares, as its worker last said.",
)

# -- people and machines ----------------------------------------------------------------------------------------------

users = tenant_table(
    "users",
    ident(),
    words("email", comment="As entered; compared in lower case; one user of the installation has it"),
    words("display_name"),
    words("role"),
    words("password_hash", null=True, comment="argon2id; null until a password is set"),
    time("sign_in_time", comment="The last one"),
    create_time(),
    update_time(),
    time("disable_time"),
    of_tenant(),
    one_of("role", "SYSTEM_ADMIN", "TENANT_ADMIN", "SITE_MANAGER", "VIEWER", "PRIVACY_OFFICER"),
    Index("users_email_key", "tenant_id", text("lower(email)"), unique=True),
    # For sign-in, which does not know the tenant yet.
    Index("users_sign_in_idx", text("lower(email)")),
    service=REGISTRY,
    comment="People. system_admins belong to the system tenant.",
)

user_sites = tenant_table(
    "user_sites",
    ident("user_id"),
    ident("site_id"),
    reference("user_id", "users", on_delete="CASCADE"),
    reference("site_id", "sites", on_delete="CASCADE"),
    service=REGISTRY,
    key=("user_id", "site_id"),
    comment="The sites of a site_manager.",
)

api_keys = tenant_table(
    "api_keys",
    ident(),
    words("display_name"),
    words("role"),
    raw("key_hash", comment="sha256 of the secret, which has 256 random bits of its own"),
    words("secret_prefix", default="", comment="The secret's first characters, to tell keys apart"),
    Column("site_ids", ARRAY(Uuid), nullable=False, server_default="{}", comment="Its only sites; empty: every site"),
    ident("worker_id", null=True, comment="One key = one worker"),
    Column("camera_ids", ARRAY(Uuid), nullable=False, server_default="{}", comment="Those an integrator sends for"),
    create_time(),
    time("use_time", comment="The last sign-in"),
    time("expire_time"),
    time("revoke_time"),
    of_tenant(),
    reference("worker_id", "workers"),
    one_of("role", "SYSTEM_ADMIN", "TENANT_ADMIN", "SITE_MANAGER", "VIEWER", "PRIVACY_OFFICER", "WORKER"),
    Index("api_keys_worker_key", "tenant_id", "worker_id", unique=True, postgresql_where=text("revoke_time IS NULL")),
    Index("api_keys_sign_in_idx", "id"),
    service=REGISTRY,
    comment="Keys of machines; the secret itself is shown once and never stored.",
)

token_families = tenant_table(
    "token_families",
    ident(),
    ident("subject_id", comment="User or API key"),
    words("subject_kind"),
    create_time(),
    time("expire_time", null=False),
    time("revoke_time"),
    words("revoke_reason", null=True),
    of_tenant(),
    one_of("subject_kind", "USER", "API_KEY"),
    Index("token_families_subject_idx", "tenant_id", "subject_id"),
    Index("token_families_expiry_idx", "tenant_id", "expire_time"),
    service=REGISTRY,
    comment="One sign-in and all tokens that descend from it; revoked as a whole.",
)

refresh_tokens = tenant_table(
    "refresh_tokens",
    raw("token_hash", comment="sha256"),
    ident("family_id"),
    create_time(),
    time("expire_time", null=False),
    time("use_time", comment="Exchanged once; a second use revokes the family"),
    reference("family_id", "token_families", on_delete="CASCADE"),
    Index("refresh_tokens_family_idx", "tenant_id", "family_id"),
    Index("refresh_tokens_sign_in_idx", "token_hash"),
    service=REGISTRY,
    key=("token_hash",),
    comment="Rotating refresh tokens.",
)

token_revocations = open_table(
    "token_revocations",
    ident("family_id"),
    Column("revoke_time", time("revoke_time").type, nullable=False, server_default=text("now()")),
    time("expire_time", null=False, comment="When the family's last access token has run out: then the row may go"),
    PrimaryKeyConstraint("family_id"),
    Index("token_revocations_time_idx", "revoke_time"),
    service=REGISTRY,
    comment="Token families that are dead before their time; every service polls it. Ids and times only.",
)

signing_keys = open_table(
    "signing_keys",
    words("kid"),
    words("algorithm", default="RS256"),
    document("public_jwk", default=None, comment="As published"),
    sealed("private_key", "PKCS#8"),
    create_time(),
    time("activate_time", null=False, comment="Signs from then on: later than its publication by a cache's life"),
    time("retire_time", comment="Signs no more"),
    time("expire_time", comment="Is no longer published: its last token has run out"),
    PrimaryKeyConstraint("kid"),
    service=REGISTRY,
    comment="Keys of our tokens. Others get the public part from GetJwks.",
)

spool_keys = open_table(
    "spool_keys",
    ident(),
    raw("public_key", comment="What agents wrap their spool's key with"),
    sealed("private_key", "what UnwrapSpoolKey unwraps with"),
    create_time(),
    time("retire_time", comment="No longer handed out; still unwraps"),
    PrimaryKeyConstraint("id"),
    service=REGISTRY,
    comment="The mesh's key pairs for the agents' spools.",
)

# -- the fleet --------------------------------------------------------------------------------------------------------

WORKER_STATES = (
    "ENROLLED",
    "CONNECTING",
    "READY",
    "FULL",
    "UNHEALTHY",
    "DRAINING",
    "DRAINED",
    "SUSPECT",
    "LOST",
    "MAINTENANCE",
    "QUARANTINED",
)

workers = tenant_table(
    "workers",
    ident(),
    ident("site_id"),
    words("display_name"),
    words("state", default="ENROLLED", comment="ENROLLED until its first Hello"),
    words("state_reason", default=""),
    Column("state_time", time("state_time").type, nullable=False, server_default=text("now()")),
    flag("any_site", default=False, comment="May also watch other sites' cameras"),
    words("agent_version", null=True),
    words("platform", null=True),
    Column("execution_providers", ARRAY(Text), nullable=False, server_default="{}"),
    Column("embedding_spaces", ARRAY(Text), nullable=False, server_default="{}", comment="Best first"),
    whole("slots", default=0, comment="Cameras it is willing to watch"),
    Column("spare_frame_rate", Float, nullable=False, server_default="0"),
    whole("spool_events", default=0),
    big("spool_bytes", default=0),
    time("spool_oldest_time", comment="Capture time of the oldest event in its spool; null when empty"),
    whole("clock_offset_ms", default=0, comment="Server time minus its wall clock at the last heartbeat"),
    big("generation", default=0, comment="Of its last session"),
    big("desired_revision", default=0),
    big("command_seq", default=0, comment="Of the last command numbered for it"),
    big("command_ack_seq", default=0, comment="Durably received by it up to here"),
    time("heartbeat_time", comment="Server time of the last one"),
    time("drain_time"),
    time("maintenance_time"),
    time("stolen_time", comment="Reported stolen: its spool is never unwrapped again"),
    create_time(),
    update_time(),
    time("delete_time"),
    reference("site_id", "sites"),
    one_of("state", *WORKER_STATES),
    Index("workers_site_idx", "tenant_id", "site_id"),
    service=REGISTRY,
    comment="Machines that watch cameras.",
)

worker_sessions = tenant_table(
    "worker_sessions",
    ident("worker_id"),
    big("generation", comment="+1 per session of the worker; reclaim is scoped to it"),
    ident("site_id"),
    ident("boot_id"),
    words("replica", comment="Address of the registry replica that holds the stream; previews are relayed from there"),
    Column("connect_time", time("connect_time").type, nullable=False, server_default=text("now()")),
    time("renew_time"),
    time("expire_time", null=False, comment="Database time; renewed with every heartbeat"),
    time("end_time"),
    words("end_reason", null=True),
    reference("worker_id", "workers", on_delete="CASCADE"),
    Index("worker_sessions_expiry_idx", "tenant_id", "expire_time", postgresql_where=text("end_time IS NULL")),
    service=REGISTRY,
    key=("worker_id", "generation"),
    comment="Connections of workers, one row per session.",
)

leases = tenant_table(
    "leases",
    ident("camera_id"),
    ident("site_id"),
    words("state", default="RELEASED"),
    ident("lease_id", null=True, comment="UUIDv7 of the lease that lives, or lived last"),
    big("epoch", default=0, comment="Fencing number of the last grant: +1 at each, never reused"),
    ident("worker_id", null=True, comment="Who watches; null when nobody does"),
    big("generation", null=True, comment="Session under which it was last renewed"),
    words("outage_policy", default="FAILOVER"),
    time("grant_time"),
    time("expire_time", comment="Database time. Null for PINNED, which no silence ends"),
    time("release_deadline_time"),
    ident("successor_lease_id", null=True),
    ident("successor_worker_id", null=True, comment="Holds a PENDING lease without an epoch"),
    big("successor_generation", null=True),
    time("successor_time"),
    document("failures", comment="{worker: times it failed on this camera}"),
    update_time(),
    reference("camera_id", "cameras", on_delete="CASCADE"),
    reference("worker_id", "workers"),
    reference("successor_worker_id", "workers"),
    one_of("state", "PENDING", "ACTIVE", "RELEASING", "RELEASED", "EXPIRED", "REJECTED"),
    one_of("outage_policy", "FAILOVER", "PINNED"),
    Index("leases_worker_idx", "tenant_id", "worker_id"),
    Index("leases_expiry_idx", "tenant_id", "expire_time", postgresql_where=text("expire_time IS NOT NULL")),
    service=REGISTRY,
    key=("camera_id",),
    comment="Who watches which camera now: one row per camera, changed by compare-and-set.",
)

lease_epochs = tenant_table(
    "lease_epochs",
    ident("camera_id"),
    big("epoch"),
    Column("lease_id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    ident("site_id"),
    ident("worker_id"),
    big("generation"),
    time("grant_time", null=False),
    time("expire_time", comment="Last renewed expiry; null for PINNED"),
    time("end_time", comment="Null while it runs"),
    words("end_reason", null=True, comment="RELEASED, EXPIRED, FLIPPED, REGRANTED, …"),
    document("problem", null=True, comment="footfall.type.v1.Problem, when its holder gave it up"),
    reference("camera_id", "cameras", on_delete="CASCADE"),
    reference("worker_id", "workers"),
    Index("lease_epochs_worker_idx", "tenant_id", "worker_id", "grant_time"),
    service=REGISTRY,
    key=("camera_id", "epoch"),
    comment="Who watched which camera from when to when; what ingest judges events by.",
)

commands = tenant_table(
    "commands",
    ident(),
    ident("worker_id"),
    ident("site_id"),
    ident("camera_id", null=True),
    big("seq", null=True, comment="Per worker, without gaps; null for those that only change desired state"),
    words("kind"),
    document("payload"),
    words("state", default="PENDING"),
    document("problem", null=True),
    raw("result", null=True, comment="CommandResult, serialized"),
    ident("subject_id", null=True, comment="Who asked"),
    create_time(),
    time("deadline_time", null=False),
    time("ack_time"),
    time("end_time"),
    reference("worker_id", "workers", on_delete="CASCADE"),
    reference("camera_id", "cameras", on_delete="CASCADE"),
    one_of("state", "PENDING", "ACCEPTED", "SUCCEEDED", "FAILED", "EXPIRED", "UNSUPPORTED", "SUPERSEDED"),
    Index("commands_seq_key", "tenant_id", "worker_id", "seq", unique=True),
    Index("commands_open_idx", "tenant_id", "worker_id", "seq", postgresql_where=text("end_time IS NULL")),
    service=REGISTRY,
    comment="What workers were told to do once, and how it ended.",
)

coverage_slices = tenant_table(
    "coverage_slices",
    ident("camera_id"),
    time("start_time", null=False, comment="Of the quarter of an hour"),
    big("epoch"),
    ident("boot_id"),
    ident("site_id"),
    whole("watched_ms", default=0),
    whole("frames", default=0),
    whole("faces_seen", default=0),
    whole("faces_usable", default=0),
    whole("events_evicted", default=0),
    update_time(),
    reference("camera_id", "cameras", on_delete="CASCADE"),
    CheckConstraint("extract(epoch FROM start_time)::bigint % 900 = 0", name="quarter"),
    CheckConstraint("watched_ms BETWEEN 0 AND 900000", name="watched_ms"),
    Index("coverage_slices_site_idx", "tenant_id", "site_id", "start_time"),
    service=REGISTRY,
    key=("camera_id", "start_time", "epoch", "boot_id"),
    comment="What was watched: totals that only grow, the greatest is kept.",
)

replicas = open_table(
    "replicas",
    ident(),
    words("address"),
    Column("start_time", time("start_time").type, nullable=False, server_default=text("now()")),
    time("renewing_since_time", comment="Renews without a break since then; leases expire only after one such ttl"),
    time("renew_time"),
    PrimaryKeyConstraint("id"),
    service=REGISTRY,
    comment="Processes of the registry.",
)

fleet_brakes = open_table(
    "fleet_brakes",
    ident(),
    words("reason"),
    create_time(),
    time("end_time", null=False, comment="No camera is reclaimed before"),
    PrimaryKeyConstraint("id"),
    service=REGISTRY,
    comment="Pauses of reclaim after too many workers were lost at once.",
)

registry_acts = act_table(REGISTRY)
registry_applied_acts = applied_table(REGISTRY)
registry_requests = request_table(REGISTRY)
