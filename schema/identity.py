"""Tables that svc_identity writes: who is known, by which faces, and why a face was taken for somebody.

customers         people who visit; merged ones point at whom they became | staff, staff_faces  people who work there
embeddings        the gallery (vectors sealed; Milvus indexes them)       | gallery_revisions   what workers hold
match_decisions   one per event, kept for ExplainVisit                    | tenant_thresholds   by embedding space
merges, sighting_moves, merge_candidates   corrections by people          | calibrations, rematches
erasures          receipts of forgetting                                  | identity_acts       for other services
"""

from __future__ import annotations

from sqlalchemy import DOUBLE_PRECISION, REAL, CheckConstraint, Column, Computed, Index, Text, Uuid, text

from schema.common import (
    IDENTITY,
    act_table,
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

customers = tenant_table(
    "customers",
    ident(),
    words("state", default="PROVISIONAL", comment="PROVISIONAL until a sighting commits; leftovers are removed"),
    ident("merged_into", null=True),
    words("display_name", null=True, comment="If the shop knows it"),
    words("external_id", null=True, comment="The shop's own number"),
    words("notes", null=True),
    words("gender", null=True),
    document("attributes"),
    ident("founding_event_id", null=True),
    ident("founding_site_id", null=True),
    ident("staff_id", null=True, comment="For CONVERTED: the staff member"),
    time("first_sighting_time"),
    time("last_sighting_time"),
    time("expire_time", comment="Embeddings go then; moves with the last sighting"),
    create_time(),
    update_time(),
    reference("merged_into", "customers"),
    reference("staff_id", "staff"),
    one_of("state", "PROVISIONAL", "CONFIRMED", "MERGED", "CONVERTED", "ERASED"),
    CheckConstraint("(state = 'MERGED') = (merged_into IS NOT NULL)", name="merged"),
    CheckConstraint("merged_into <> id", name="not_itself"),
    Index("customers_list_idx", "tenant_id", "last_sighting_time", "id"),
    Index("customers_merged_idx", "tenant_id", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
    Index("customers_provisional_idx", "tenant_id", "create_time", postgresql_where=text("state = 'PROVISIONAL'")),
    Index("customers_expiry_idx", "tenant_id", "expire_time"),
    Index(
        "customers_external_key",
        "tenant_id",
        "external_id",
        unique=True,
        postgresql_where=text("external_id IS NOT NULL"),
    ),
    service=IDENTITY,
    comment="Visitors, each once.",
)

staff = tenant_table(
    "staff",
    ident(),
    words("display_name"),
    words("external_id", null=True),
    words("title", null=True),
    words("notes", null=True),
    ident("site_id", null=True, comment="Where they usually work; null: everywhere"),
    time("enrol_time", null=False, comment="Left out of the counts from then on"),
    create_time(),
    update_time(),
    time("delete_time"),
    of_tenant(),
    Index("staff_list_idx", "tenant_id", "display_name", "id"),
    Index(
        "staff_external_key", "tenant_id", "external_id", unique=True, postgresql_where=text("external_id IS NOT NULL")
    ),
    service=IDENTITY,
    site_column=None,  # a site_manager sees all staff: whoever works at another site is staff here too
    comment="People who work there: recognised everywhere in the tenant, counted nowhere.",
)
staff_faces = tenant_table(
    "staff_faces",
    ident(),
    ident("staff_id"),
    words("object_key"),
    raw("sha256"),
    whole("bytes"),
    whole("width"),
    whole("height"),
    words("content_type"),
    Column("quality", REAL, nullable=False),
    flag("is_primary", default=False),
    create_time(),
    reference("staff_id", "staff", on_delete="CASCADE"),
    Index("staff_faces_primary_key", "tenant_id", "staff_id", unique=True, postgresql_where=text("is_primary")),
    Index("staff_faces_image_key", "tenant_id", "staff_id", "sha256", unique=True),
    service=IDENTITY,
    comment="Photographs that staff are recognised by.",
)

embeddings = tenant_table(
    "embeddings",
    ident(comment="An enrolled face's is its event's id"),
    ident("customer_id", null=True),
    ident("staff_id", null=True),
    Column("person_id", Uuid, Computed("coalesce(customer_id, staff_id)", persisted=True), nullable=False),
    Column(
        "kind",
        Text,
        Computed("CASE WHEN staff_id IS NULL THEN 'CUSTOMER' ELSE 'STAFF' END", persisted=True),
        nullable=False,
    ),
    ident("staff_face_id", null=True),
    ident("event_id", null=True),
    words("space"),
    sealed("vector", "512 float32, little-endian"),
    Column("quality", REAL, nullable=False),
    create_time(),
    time("index_time", comment="In Milvus since; null: not yet, so it is compared exactly"),
    reference("customer_id", "customers", on_delete="CASCADE"),
    reference("staff_id", "staff", on_delete="CASCADE"),
    reference("staff_face_id", "staff_faces", on_delete="CASCADE"),
    CheckConstraint("num_nonnulls(customer_id, staff_id) = 1", name="person"),
    Index("embeddings_person_idx", "tenant_id", "person_id"),
    # Faces that the index may not show yet: index_time IS NULL, or younger than the index's staleness.
    Index("embeddings_fresh_idx", "tenant_id", "space", "index_time"),
    Index("embeddings_customer_idx", "tenant_id", "customer_id"),
    Index("embeddings_staff_idx", "tenant_id", "staff_id"),
    service=IDENTITY,
    comment="The gallery: what faces are compared with. The record; Milvus can be rebuilt from it.",
)

gallery_revisions = tenant_table(
    "gallery_revisions",
    words("space"),
    big("revision", default=0),
    update_time(),
    of_tenant(),
    service=IDENTITY,
    key=("space",),
    comment="+1 at every change of the staff gallery; WatchGallery compares it with what a worker holds.",
)

match_decisions = tenant_table(
    "match_decisions",
    ident("event_id"),
    ident("site_id"),
    time("capture_time", null=False),
    words("space"),
    words("verdict"),
    ident("customer_id", null=True, comment="As decided; today's is found through merged_into"),
    ident("staff_id", null=True),
    ident("embedding_id", null=True, comment="The best candidate's"),
    Column("similarity", REAL),
    Column("threshold", REAL, nullable=False),
    Column("quality", REAL, nullable=False),
    document("candidates", default="[]", comment="At most 5: person, similarity, embedding id"),
    words("reason", null=True, comment="ErrorReason without its prefix, for REJECTED"),
    Column("decide_time", time("decide_time").type, nullable=False, server_default=text("now()")),
    one_of("verdict", "MATCHED", "ENROLLED", "STAFF", "UNDECIDED", "REJECTED"),
    Index("match_decisions_customer_idx", "tenant_id", "customer_id", "capture_time"),
    Index("match_decisions_time_idx", "tenant_id", "capture_time"),
    service=IDENTITY,
    key=("event_id",),
    comment="Who each face was taken for, and why. Asked again, a face gets its first decision.",
)

merges = tenant_table(
    "merges",
    ident(),
    ident("winner_id"),
    ident("loser_id"),
    ident("subject_id", null=True, comment="Who decided"),
    words("reason", null=True),
    create_time(),
    time("undo_time"),
    reference("winner_id", "customers", on_delete="CASCADE"),
    reference("loser_id", "customers", on_delete="CASCADE"),
    CheckConstraint("winner_id <> loser_id", name="two"),
    Index("merges_winner_idx", "tenant_id", "winner_id"),
    Index("merges_loser_idx", "tenant_id", "loser_id"),
    service=IDENTITY,
    comment="Customers that turned out to be one, and those that did not after all.",
)

merge_candidates = tenant_table(
    "merge_candidates",
    ident("first_id", comment="The smaller of the two ids"),
    ident("second_id"),
    Column("similarity", REAL, nullable=False),
    words("state", default="OPEN"),
    create_time(),
    time("end_time"),
    reference("first_id", "customers", on_delete="CASCADE"),
    reference("second_id", "customers", on_delete="CASCADE"),
    one_of("state", "OPEN", "MERGED", "DISMISSED"),
    CheckConstraint("first_id < second_id", name="order"),
    Index("merge_candidates_open_idx", "tenant_id", "similarity", postgresql_where=text("state = 'OPEN'")),
    Index("merge_candidates_second_idx", "tenant_id", "second_id"),
    service=IDENTITY,
    key=("first_id", "second_id"),
    comment="Pairs that look alike, for a person to judge.",
)

sighting_moves = tenant_table(
    "sighting_moves",
    ident(),
    ident("event_id"),
    ident("from_customer_id"),
    ident("to_customer_id"),
    ident("subject_id", null=True),
    create_time(),
    Index("sighting_moves_event_idx", "tenant_id", "event_id", "create_time"),
    service=IDENTITY,
    comment='Sightings of which somebody said "not this person".',
)

calibrations = tenant_table(
    "calibrations",
    ident(),
    words("space"),
    Column("threshold", DOUBLE_PRECISION),
    whole("genuine_pairs", default=0),
    whole("impostor_pairs", default=0),
    document("report", comment="Curve and error rates"),
    words("state", default="DRAFT"),
    ident("subject_id", null=True),
    create_time(),
    time("apply_time"),
    time("revert_time"),
    of_tenant(),
    one_of("state", "DRAFT", "APPLIED", "REVERTED"),
    service=IDENTITY,
    comment="Thresholds proposed from the tenant's own faces.",
)

tenant_thresholds = tenant_table(
    "tenant_thresholds",
    words("space"),
    time("effective_time", null=False),
    Column("threshold", DOUBLE_PRECISION, nullable=False, comment="Cosine from which two faces are one person"),
    Column("quality_gate", DOUBLE_PRECISION, nullable=False, comment="A poorer face never founds a customer"),
    ident("calibration_id", null=True),
    create_time(),
    of_tenant(),
    reference("calibration_id", "calibrations"),
    CheckConstraint("threshold BETWEEN -1 AND 1", name="threshold"),
    CheckConstraint("quality_gate BETWEEN 0 AND 1", name="quality_gate"),
    service=IDENTITY,
    key=("space", "effective_time"),
    comment="What a tenant decides by, per embedding space; the latest that is in effect holds. None: the model's own.",
)

rematches = tenant_table(
    "rematches",
    ident(),
    words("space"),
    Column("threshold", DOUBLE_PRECISION, nullable=False),
    time("start_time", null=False),
    time("end_time", null=False),
    words("state", default="RUNNING"),
    document("result", comment="What would change, or did"),
    ident("subject_id", null=True),
    create_time(),
    time("finish_time"),
    of_tenant(),
    one_of("state", "RUNNING", "SHOWN", "APPLIED", "UNDONE", "FAILED"),
    service=IDENTITY,
    comment="What another threshold would have decided.",
)

erasures = tenant_table(
    "erasures",
    ident(),
    ident("customer_id", comment="No reference: the row is gone"),
    words("state", default="PROVISIONAL", comment="FINAL once every spool has drained"),
    document("counts", comment="What was removed, per store"),
    ident("subject_id", null=True),
    words("reason", null=True),
    create_time(),
    time("final_time"),
    of_tenant(),
    one_of("state", "PROVISIONAL", "FINAL"),
    Index("erasures_open_idx", "tenant_id", "create_time", postgresql_where=text("state = 'PROVISIONAL'")),
    Index("erasures_customer_idx", "tenant_id", "customer_id"),
    service=IDENTITY,
    comment="Receipts of erasure: ids and counts, nothing else.",
)

identity_acts = act_table(IDENTITY)
identity_applied_acts = applied_table(IDENTITY)
identity_requests = request_table(IDENTITY)
