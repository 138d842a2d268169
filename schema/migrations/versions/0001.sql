-- Made by `python -m schema.render --write` from schema/*.py. Do not edit.

CREATE TABLE bucket_counts (
	tenant_id UUID NOT NULL,
	grain TEXT NOT NULL,
	scope_id UUID NOT NULL,
	local_date DATE NOT NULL,
	visits INTEGER NOT NULL,
	unique_visitors INTEGER NOT NULL,
	new_visitors INTEGER NOT NULL,
	hours INTEGER[],
	dwell_known INTEGER DEFAULT 0 NOT NULL,
	dwell_median_seconds INTEGER,
	count_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT bucket_counts_pkey PRIMARY KEY (tenant_id, grain, scope_id, local_date),
	CONSTRAINT bucket_counts_grain_check CHECK (grain IN ('DAY', 'WEEK', 'MONTH'))
);

COMMENT ON TABLE bucket_counts IS 'Counted buckets of clean days.';

COMMENT ON COLUMN bucket_counts.scope_id IS 'A site, or the tenant itself';

COMMENT ON COLUMN bucket_counts.local_date IS 'First day of the bucket';

COMMENT ON COLUMN bucket_counts.hours IS 'For DAY: visits, unique, new of each local hour (23 to 25 hours)';

CREATE TABLE dirty_days (
	tenant_id UUID NOT NULL,
	seq BIGINT GENERATED ALWAYS AS IDENTITY,
	site_id UUID NOT NULL,
	local_date DATE NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT dirty_days_pkey PRIMARY KEY (tenant_id, seq)
);

CREATE INDEX dirty_days_day_idx ON dirty_days (tenant_id, local_date, site_id);

COMMENT ON TABLE dirty_days IS 'Days to count again. Append-only: the same day may be marked often; svc_reports deletes what it has seen.';

CREATE TABLE event_tombstones (
	tenant_id UUID NOT NULL,
	event_id UUID NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT event_tombstones_pkey PRIMARY KEY (tenant_id, event_id)
);

CREATE INDEX event_tombstones_expiry_idx ON event_tombstones (tenant_id, expire_time) WHERE expire_time IS NOT NULL;

COMMENT ON TABLE event_tombstones IS 'Events of erased people: a replay is refused.';

COMMENT ON COLUMN event_tombstones.expire_time IS 'No spool is older';

CREATE TABLE fleet_brakes (
	id UUID NOT NULL,
	reason TEXT NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	end_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT fleet_brakes_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE fleet_brakes IS 'Pauses of reclaim after too many workers were lost at once.';

COMMENT ON COLUMN fleet_brakes.end_time IS 'No camera is reclaimed before';

CREATE TABLE identity_acts (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	kind TEXT NOT NULL,
	payload JSONB DEFAULT '{}'::jsonb NOT NULL,
	appliers JSONB NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	finish_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT identity_acts_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX identity_acts_open_idx ON identity_acts (tenant_id, create_time) WHERE finish_time IS NULL;

COMMENT ON TABLE identity_acts IS 'What was decided here and must be applied elsewhere too; unfinished ones answer APPLYING.';

COMMENT ON COLUMN identity_acts.kind IS 'MERGE, UNMERGE, MOVE_SIGHTING, CONVERT_TO_STAFF, ERASE, DELETE_TENANT, …';

COMMENT ON COLUMN identity_acts.payload IS 'Ids only';

COMMENT ON COLUMN identity_acts.appliers IS 'Services that must apply it before it is done';

COMMENT ON COLUMN identity_acts.finish_time IS 'When the last of them had applied it';

CREATE TABLE identity_applied_acts (
	tenant_id UUID NOT NULL,
	act_id UUID NOT NULL,
	result JSONB DEFAULT '{}'::jsonb NOT NULL,
	apply_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT identity_applied_acts_pkey PRIMARY KEY (tenant_id, act_id)
);

COMMENT ON TABLE identity_applied_acts IS 'Acts of other services that this one has applied.';

COMMENT ON COLUMN identity_applied_acts.result IS 'Counts, for receipts';

CREATE TABLE identity_requests (
	tenant_id UUID NOT NULL,
	subject_id UUID NOT NULL,
	rpc TEXT NOT NULL,
	request_id UUID NOT NULL,
	body_hash BYTEA NOT NULL,
	response BYTEA NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT identity_requests_pkey PRIMARY KEY (tenant_id, subject_id, rpc, request_id)
);

CREATE INDEX identity_requests_expiry_idx ON identity_requests (tenant_id, expire_time);

COMMENT ON TABLE identity_requests IS 'First answers to mutations, by request id; a repeat gets the same answer for 24 h.';

COMMENT ON COLUMN identity_requests.subject_id IS 'The user or API key that asked';

COMMENT ON COLUMN identity_requests.rpc IS 'Full method name';

COMMENT ON COLUMN identity_requests.body_hash IS 'sha256 of the request: another body under the same id is refused';

COMMENT ON COLUMN identity_requests.response IS 'The first answer, serialized';

CREATE TABLE ingest_applied_acts (
	tenant_id UUID NOT NULL,
	act_id UUID NOT NULL,
	result JSONB DEFAULT '{}'::jsonb NOT NULL,
	apply_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT ingest_applied_acts_pkey PRIMARY KEY (tenant_id, act_id)
);

COMMENT ON TABLE ingest_applied_acts IS 'Acts of other services that this one has applied.';

COMMENT ON COLUMN ingest_applied_acts.result IS 'Counts, for receipts';

CREATE TABLE ingest_requests (
	tenant_id UUID NOT NULL,
	subject_id UUID NOT NULL,
	rpc TEXT NOT NULL,
	request_id UUID NOT NULL,
	body_hash BYTEA NOT NULL,
	response BYTEA NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT ingest_requests_pkey PRIMARY KEY (tenant_id, subject_id, rpc, request_id)
);

CREATE INDEX ingest_requests_expiry_idx ON ingest_requests (tenant_id, expire_time);

COMMENT ON TABLE ingest_requests IS 'First answers to mutations, by request id; a repeat gets the same answer for 24 h.';

COMMENT ON COLUMN ingest_requests.subject_id IS 'The user or API key that asked';

COMMENT ON COLUMN ingest_requests.rpc IS 'Full method name';

COMMENT ON COLUMN ingest_requests.body_hash IS 'sha256 of the request: another body under the same id is refused';

COMMENT ON COLUMN ingest_requests.response IS 'The first answer, serialized';

CREATE TABLE match_decisions (
	tenant_id UUID NOT NULL,
	event_id UUID NOT NULL,
	site_id UUID NOT NULL,
	capture_time TIMESTAMP WITH TIME ZONE NOT NULL,
	space TEXT NOT NULL,
	verdict TEXT NOT NULL,
	customer_id UUID,
	staff_id UUID,
	embedding_id UUID,
	similarity REAL,
	threshold REAL NOT NULL,
	quality REAL NOT NULL,
	candidates JSONB DEFAULT '[]'::jsonb NOT NULL,
	reason TEXT,
	decide_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT match_decisions_pkey PRIMARY KEY (tenant_id, event_id),
	CONSTRAINT match_decisions_verdict_check CHECK (verdict IN ('MATCHED', 'ENROLLED', 'STAFF', 'UNDECIDED', 'REJECTED'))
);

CREATE INDEX match_decisions_customer_idx ON match_decisions (tenant_id, customer_id, capture_time);

CREATE INDEX match_decisions_time_idx ON match_decisions (tenant_id, capture_time);

COMMENT ON TABLE match_decisions IS 'Who each face was taken for, and why. Asked again, a face gets its first decision.';

COMMENT ON COLUMN match_decisions.customer_id IS 'As decided; today''s is found through merged_into';

COMMENT ON COLUMN match_decisions.embedding_id IS 'The best candidate''s';

COMMENT ON COLUMN match_decisions.candidates IS 'At most 5: person, similarity, embedding id';

COMMENT ON COLUMN match_decisions.reason IS 'ErrorReason without its prefix, for REJECTED';

CREATE TABLE registry_acts (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	kind TEXT NOT NULL,
	payload JSONB DEFAULT '{}'::jsonb NOT NULL,
	appliers JSONB NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	finish_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT registry_acts_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX registry_acts_open_idx ON registry_acts (tenant_id, create_time) WHERE finish_time IS NULL;

COMMENT ON TABLE registry_acts IS 'What was decided here and must be applied elsewhere too; unfinished ones answer APPLYING.';

COMMENT ON COLUMN registry_acts.kind IS 'MERGE, UNMERGE, MOVE_SIGHTING, CONVERT_TO_STAFF, ERASE, DELETE_TENANT, …';

COMMENT ON COLUMN registry_acts.payload IS 'Ids only';

COMMENT ON COLUMN registry_acts.appliers IS 'Services that must apply it before it is done';

COMMENT ON COLUMN registry_acts.finish_time IS 'When the last of them had applied it';

CREATE TABLE registry_applied_acts (
	tenant_id UUID NOT NULL,
	act_id UUID NOT NULL,
	result JSONB DEFAULT '{}'::jsonb NOT NULL,
	apply_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT registry_applied_acts_pkey PRIMARY KEY (tenant_id, act_id)
);

COMMENT ON TABLE registry_applied_acts IS 'Acts of other services that this one has applied.';

COMMENT ON COLUMN registry_applied_acts.result IS 'Counts, for receipts';

CREATE TABLE registry_requests (
	tenant_id UUID NOT NULL,
	subject_id UUID NOT NULL,
	rpc TEXT NOT NULL,
	request_id UUID NOT NULL,
	body_hash BYTEA NOT NULL,
	response BYTEA NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT registry_requests_pkey PRIMARY KEY (tenant_id, subject_id, rpc, request_id)
);

CREATE INDEX registry_requests_expiry_idx ON registry_requests (tenant_id, expire_time);

COMMENT ON TABLE registry_requests IS 'First answers to mutations, by request id; a repeat gets the same answer for 24 h.';

COMMENT ON COLUMN registry_requests.subject_id IS 'The user or API key that asked';

COMMENT ON COLUMN registry_requests.rpc IS 'Full method name';

COMMENT ON COLUMN registry_requests.body_hash IS 'sha256 of the request: another body under the same id is refused';

COMMENT ON COLUMN registry_requests.response IS 'The first answer, serialized';

CREATE TABLE replicas (
	id UUID NOT NULL,
	address TEXT NOT NULL,
	start_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	renewing_since_time TIMESTAMP WITH TIME ZONE,
	renew_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT replicas_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE replicas IS 'Processes of the registry.';

COMMENT ON COLUMN replicas.renewing_since_time IS 'Renews without a break since then; leases expire only after one such ttl';

CREATE TABLE reports_applied_acts (
	tenant_id UUID NOT NULL,
	act_id UUID NOT NULL,
	result JSONB DEFAULT '{}'::jsonb NOT NULL,
	apply_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT reports_applied_acts_pkey PRIMARY KEY (tenant_id, act_id)
);

COMMENT ON TABLE reports_applied_acts IS 'Acts of other services that this one has applied.';

COMMENT ON COLUMN reports_applied_acts.result IS 'Counts, for receipts';

CREATE TABLE reports_requests (
	tenant_id UUID NOT NULL,
	subject_id UUID NOT NULL,
	rpc TEXT NOT NULL,
	request_id UUID NOT NULL,
	body_hash BYTEA NOT NULL,
	response BYTEA NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT reports_requests_pkey PRIMARY KEY (tenant_id, subject_id, rpc, request_id)
);

CREATE INDEX reports_requests_expiry_idx ON reports_requests (tenant_id, expire_time);

COMMENT ON TABLE reports_requests IS 'First answers to mutations, by request id; a repeat gets the same answer for 24 h.';

COMMENT ON COLUMN reports_requests.subject_id IS 'The user or API key that asked';

COMMENT ON COLUMN reports_requests.rpc IS 'Full method name';

COMMENT ON COLUMN reports_requests.body_hash IS 'sha256 of the request: another body under the same id is refused';

COMMENT ON COLUMN reports_requests.response IS 'The first answer, serialized';

CREATE TABLE sighting_moves (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	event_id UUID NOT NULL,
	from_customer_id UUID NOT NULL,
	to_customer_id UUID NOT NULL,
	subject_id UUID,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT sighting_moves_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX sighting_moves_event_idx ON sighting_moves (tenant_id, event_id, create_time);

COMMENT ON TABLE sighting_moves IS 'Sightings of which somebody said "not this person".';

CREATE TABLE signing_keys (
	kid TEXT NOT NULL,
	algorithm TEXT DEFAULT 'RS256' NOT NULL,
	public_jwk JSONB NOT NULL,
	private_key BYTEA NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	activate_time TIMESTAMP WITH TIME ZONE NOT NULL,
	retire_time TIMESTAMP WITH TIME ZONE,
	expire_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT signing_keys_pkey PRIMARY KEY (kid)
);

COMMENT ON TABLE signing_keys IS 'Keys of our tokens. Others get the public part from GetJwks.';

COMMENT ON COLUMN signing_keys.public_jwk IS 'As published';

COMMENT ON COLUMN signing_keys.private_key IS 'Encrypted by the application (AES-GCM, key id in front): PKCS#8';

COMMENT ON COLUMN signing_keys.activate_time IS 'Signs from then on: later than its publication by a cache''s life';

COMMENT ON COLUMN signing_keys.retire_time IS 'Signs no more';

COMMENT ON COLUMN signing_keys.expire_time IS 'Is no longer published: its last token has run out';

CREATE TABLE spool_keys (
	id UUID NOT NULL,
	public_key BYTEA NOT NULL,
	private_key BYTEA NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	retire_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT spool_keys_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE spool_keys IS 'The mesh''s key pairs for the agents'' spools.';

COMMENT ON COLUMN spool_keys.public_key IS 'What agents wrap their spool''s key with';

COMMENT ON COLUMN spool_keys.private_key IS 'Encrypted by the application (AES-GCM, key id in front): what UnwrapSpoolKey unwraps with';

COMMENT ON COLUMN spool_keys.retire_time IS 'No longer handed out; still unwraps';

CREATE TABLE tenant_ids (
	id UUID NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	delete_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT tenant_ids_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE tenant_ids IS 'The ids of all tenants, for jobs that then work in one transaction per tenant. Nothing but ids and times.';

COMMENT ON COLUMN tenant_ids.delete_time IS 'As in tenants';

CREATE TABLE tenants (
	id UUID NOT NULL,
	display_name TEXT NOT NULL,
	image_retention_days INTEGER DEFAULT 30 NOT NULL,
	embedding_retention_days INTEGER DEFAULT 365 NOT NULL,
	week_start_day INTEGER DEFAULT 1 NOT NULL,
	global_search BOOLEAN DEFAULT false NOT NULL,
	settings JSONB DEFAULT '{}'::jsonb NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	delete_time TIMESTAMP WITH TIME ZONE,
	purge_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT tenants_pkey PRIMARY KEY (id),
	CONSTRAINT tenants_image_retention_days_check CHECK (image_retention_days BETWEEN 1 AND 90),
	CONSTRAINT tenants_embedding_retention_days_check CHECK (embedding_retention_days BETWEEN 1 AND 1825),
	CONSTRAINT tenants_week_start_day_check CHECK (week_start_day BETWEEN 1 AND 7)
);

COMMENT ON TABLE tenants IS 'Customers of ours. Row level security on id.';

COMMENT ON COLUMN tenants.image_retention_days IS 'Raw face images are gone after this';

COMMENT ON COLUMN tenants.embedding_retention_days IS 'Embeddings expire this long after the last sighting';

COMMENT ON COLUMN tenants.week_start_day IS 'ISO: 1 = Monday … 7 = Sunday';

COMMENT ON COLUMN tenants.global_search IS 'Allows search between tenants that both allow it';

COMMENT ON COLUMN tenants.settings IS 'Limits and other policies that need no index';

COMMENT ON COLUMN tenants.delete_time IS 'Deleted by an administrator; can be undone until purge_time';

COMMENT ON COLUMN tenants.purge_time IS 'When everything of it is removed for good';

CREATE TABLE token_revocations (
	family_id UUID NOT NULL,
	revoke_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT token_revocations_pkey PRIMARY KEY (family_id)
);

CREATE INDEX token_revocations_time_idx ON token_revocations (revoke_time);

COMMENT ON TABLE token_revocations IS 'Token families that are dead before their time; every service polls it. Ids and times only.';

COMMENT ON COLUMN token_revocations.expire_time IS 'When the family''s last access token has run out: then the row may go';

CREATE TABLE visit_feed (
	tenant_id UUID NOT NULL,
	seq BIGINT GENERATED ALWAYS AS IDENTITY,
	xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
	visit_id UUID NOT NULL,
	site_id UUID NOT NULL,
	kind TEXT NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT visit_feed_pkey PRIMARY KEY (tenant_id, xid, seq),
	CONSTRAINT visit_feed_kind_check CHECK (kind IN ('CREATED', 'UPDATED', 'REMOVED'))
);

COMMENT ON TABLE visit_feed IS 'Changes of visits, as footfall.ingest.v1.VisitChange.Kind names them. A cursor is (xid, seq).';

COMMENT ON COLUMN visit_feed.xid IS 'A reader stops below its snapshot''s xmin: rows that commit later come later';

CREATE TABLE visitor_day (
	tenant_id UUID NOT NULL,
	site_id UUID NOT NULL,
	local_date DATE NOT NULL,
	customer_id UUID NOT NULL,
	visits INTEGER NOT NULL,
	start_time TIMESTAMP WITH TIME ZONE NOT NULL,
	dwell_seconds INTEGER,
	is_first BOOLEAN DEFAULT false NOT NULL,
	CONSTRAINT visitor_day_pkey PRIMARY KEY (tenant_id, site_id, local_date, customer_id)
);

CREATE INDEX visitor_day_customer_idx ON visitor_day (tenant_id, customer_id);

CREATE INDEX visitor_day_date_idx ON visitor_day (tenant_id, local_date);

COMMENT ON TABLE visitor_day IS 'Who was where on which day: for ranges that are no bucket.';

COMMENT ON COLUMN visitor_day.start_time IS 'Of the first visit of that day there';

COMMENT ON COLUMN visitor_day.is_first IS 'The customer''s first visit at any site began in it';

CREATE TABLE visits (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	customer_id UUID NOT NULL,
	site_id UUID NOT NULL,
	local_date DATE NOT NULL,
	start_time TIMESTAMP WITH TIME ZONE NOT NULL,
	end_time TIMESTAMP WITH TIME ZONE NOT NULL,
	sighting_count INTEGER NOT NULL,
	dwell_seconds INTEGER,
	first_event_id UUID NOT NULL,
	best_event_id UUID NOT NULL,
	first_camera_id UUID NOT NULL,
	last_camera_id UUID NOT NULL,
	state TEXT DEFAULT 'LIVE' NOT NULL,
	superseded_by UUID,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT visits_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT visits_state_check CHECK (state IN ('LIVE', 'SUPERSEDED', 'RETRACTED')),
	CONSTRAINT visits_superseded_check CHECK ((state = 'SUPERSEDED') = (superseded_by IS NOT NULL))
);

CREATE INDEX visits_customer_idx ON visits (tenant_id, customer_id, start_time);

CREATE INDEX visits_site_idx ON visits (tenant_id, site_id, start_time, id) WHERE state = 'LIVE';

CREATE INDEX visits_time_idx ON visits (tenant_id, start_time, id) WHERE state = 'LIVE';

COMMENT ON TABLE visits IS 'What the fold makes of sightings (schema/visits.py). Those that are over stay, to be told about.';

COMMENT ON COLUMN visits.local_date IS 'The business day in which it counts';

COMMENT ON COLUMN visits.start_time IS 'track_start_time of the first sighting';

COMMENT ON COLUMN visits.end_time IS 'Latest track_end_time';

COMMENT ON COLUMN visits.dwell_seconds IS 'Null: one track too short to tell';

COMMENT ON COLUMN visits.best_event_id IS 'The sighting of the best quality';

COMMENT ON COLUMN visits.first_camera_id IS 'Of the first sighting';

COMMENT ON COLUMN visits.last_camera_id IS 'Of the sighting that ends it';

COMMENT ON COLUMN visits.superseded_by IS 'The visit that took its sightings over';

CREATE TABLE audit_anchors (
	tenant_id UUID NOT NULL,
	seq BIGINT NOT NULL,
	hash BYTEA NOT NULL,
	signature BYTEA NOT NULL,
	anchor_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT audit_anchors_pkey PRIMARY KEY (tenant_id, seq),
	CONSTRAINT audit_anchors_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);

COMMENT ON TABLE audit_anchors IS 'Heads that were also written, signed, outside the database.';

CREATE TABLE audit_entries (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	act_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	service TEXT NOT NULL,
	actor_kind TEXT NOT NULL,
	actor_id UUID,
	actor_role TEXT,
	action TEXT NOT NULL,
	target_kind TEXT,
	target_id UUID,
	site_id UUID,
	outcome TEXT DEFAULT 'SUCCEEDED' NOT NULL,
	error_reason TEXT,
	reason TEXT,
	request_id UUID,
	remote_address TEXT,
	details JSONB DEFAULT '{}'::jsonb NOT NULL,
	xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
	seq BIGINT,
	previous_hash BYTEA,
	hash BYTEA,
	seal_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT audit_entries_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT audit_entries_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT audit_entries_actor_kind_check CHECK (actor_kind IN ('USER', 'API_KEY', 'WORKER', 'SERVICE', 'OPERATOR')),
	CONSTRAINT audit_entries_outcome_check CHECK (outcome IN ('INTENT', 'SUCCEEDED', 'REFUSED', 'FAILED')),
	CONSTRAINT audit_entries_sealed_check CHECK (num_nulls(seq, previous_hash, hash, seal_time) IN (0, 4))
);

CREATE INDEX audit_entries_list_idx ON audit_entries (tenant_id, act_time, id);

CREATE INDEX audit_entries_open_idx ON audit_entries (tenant_id, xid) WHERE seq IS NULL;

CREATE UNIQUE INDEX audit_entries_seq_key ON audit_entries (tenant_id, seq);

COMMENT ON TABLE audit_entries IS 'Who did what. Inserted in the act''s own transaction by every service; nobody can change or remove a row.';

COMMENT ON COLUMN audit_entries.action IS 'A verb and a noun: site.create';

COMMENT ON COLUMN audit_entries.outcome IS 'INTENT first for acts beyond one store';

COMMENT ON COLUMN audit_entries.error_reason IS 'ErrorReason without its prefix';

COMMENT ON COLUMN audit_entries.reason IS 'Why, as the actor gave it';

COMMENT ON COLUMN audit_entries.details IS 'Ids and numbers, never names';

COMMENT ON COLUMN audit_entries.seq IS 'Place in the chain; null until sealed';

COMMENT ON COLUMN audit_entries.hash IS 'sha256 over the row and previous_hash';

CREATE TABLE audit_heads (
	tenant_id UUID NOT NULL,
	seq BIGINT NOT NULL,
	hash BYTEA NOT NULL,
	seal_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT audit_heads_pkey PRIMARY KEY (tenant_id),
	CONSTRAINT audit_heads_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);

COMMENT ON TABLE audit_heads IS 'Where each tenant''s chain ends.';

CREATE TABLE calibrations (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	space TEXT NOT NULL,
	threshold DOUBLE PRECISION NOT NULL,
	previous_threshold DOUBLE PRECISION NOT NULL,
	founding_quality DOUBLE PRECISION NOT NULL,
	target_false_accept_rate DOUBLE PRECISION NOT NULL,
	genuine_pair_count INTEGER DEFAULT 0 NOT NULL,
	impostor_pair_count INTEGER DEFAULT 0 NOT NULL,
	points JSONB DEFAULT '[]'::jsonb NOT NULL,
	state TEXT DEFAULT 'PROPOSED' NOT NULL,
	subject_id UUID,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	apply_time TIMESTAMP WITH TIME ZONE,
	end_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT calibrations_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT calibrations_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT calibrations_state_check CHECK (state IN ('PROPOSED', 'APPLIED', 'REPLACED', 'REVERTED'))
);

COMMENT ON TABLE calibrations IS 'Thresholds proposed from the tenant''s own faces.';

COMMENT ON COLUMN calibrations.points IS 'Operating points: threshold, false accepts, false rejects';

COMMENT ON COLUMN calibrations.end_time IS 'Replaced or reverted';

CREATE TABLE erasures (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	customer_id UUID NOT NULL,
	state TEXT DEFAULT 'PROVISIONAL' NOT NULL,
	stores JSONB DEFAULT '[]'::jsonb NOT NULL,
	waiting_site_ids UUID[] DEFAULT '{}' NOT NULL,
	subject_id UUID,
	reason TEXT,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	final_time TIMESTAMP WITH TIME ZONE,
	check_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT erasures_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT erasures_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT erasures_state_check CHECK (state IN ('PROVISIONAL', 'FINAL'))
);

CREATE INDEX erasures_customer_idx ON erasures (tenant_id, customer_id);

CREATE INDEX erasures_open_idx ON erasures (tenant_id, create_time) WHERE state = 'PROVISIONAL';

COMMENT ON TABLE erasures IS 'Receipts of erasure: ids and counts, nothing else.';

COMMENT ON COLUMN erasures.customer_id IS 'No reference: the row is gone';

COMMENT ON COLUMN erasures.state IS 'FINAL once every spool has drained';

COMMENT ON COLUMN erasures.stores IS 'What was removed, per store';

COMMENT ON COLUMN erasures.waiting_site_ids IS 'Spools not drained yet';

COMMENT ON COLUMN erasures.check_time IS 'Every store was asked again';

CREATE TABLE exports (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	kind TEXT NOT NULL,
	request JSONB DEFAULT '{}'::jsonb NOT NULL,
	state TEXT DEFAULT 'RUNNING' NOT NULL,
	row_count BIGINT DEFAULT 0 NOT NULL,
	subject_id UUID NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	finish_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT exports_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT exports_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT exports_state_check CHECK (state IN ('RUNNING', 'FINISHED', 'FAILED'))
);

CREATE INDEX exports_list_idx ON exports (tenant_id, create_time, id);

COMMENT ON TABLE exports IS 'Exports that were made.';

CREATE TABLE gallery_revisions (
	tenant_id UUID NOT NULL,
	space TEXT NOT NULL,
	revision BIGINT DEFAULT 0 NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT gallery_revisions_pkey PRIMARY KEY (tenant_id, space),
	CONSTRAINT gallery_revisions_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);

COMMENT ON TABLE gallery_revisions IS '+1 at every change of the staff gallery; WatchGallery compares it with what a worker holds.';

CREATE TABLE jobs (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	kind TEXT NOT NULL,
	state TEXT DEFAULT 'QUEUED' NOT NULL,
	attempt INTEGER DEFAULT 0 NOT NULL,
	counts JSONB DEFAULT '{}'::jsonb NOT NULL,
	problem JSONB,
	subject_id UUID,
	schedule_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	start_time TIMESTAMP WITH TIME ZONE,
	end_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT jobs_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT jobs_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT jobs_state_check CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED'))
);

CREATE INDEX jobs_list_idx ON jobs (tenant_id, schedule_time, id);

COMMENT ON TABLE jobs IS 'Runs of jobs, by tenant.';

COMMENT ON COLUMN jobs.problem IS 'footfall.type.v1.Problem, for FAILED';

COMMENT ON COLUMN jobs.subject_id IS 'Who started it; null: the schedule';

CREATE TABLE rematches (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	space TEXT NOT NULL,
	threshold DOUBLE PRECISION NOT NULL,
	start_time TIMESTAMP WITH TIME ZONE NOT NULL,
	end_time TIMESTAMP WITH TIME ZONE NOT NULL,
	state TEXT DEFAULT 'PREVIEW' NOT NULL,
	result JSONB DEFAULT '{}'::jsonb NOT NULL,
	moves JSONB DEFAULT '[]'::jsonb NOT NULL,
	subject_id UUID,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	apply_time TIMESTAMP WITH TIME ZONE,
	undo_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT rematches_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT rematches_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT rematches_state_check CHECK (state IN ('PREVIEW', 'APPLIED', 'UNDONE'))
);

COMMENT ON TABLE rematches IS 'What another threshold would have decided.';

COMMENT ON COLUMN rematches.result IS 'Counts and examples';

COMMENT ON COLUMN rematches.moves IS 'Event, from, to: what Apply did, for Undo';

CREATE TABLE sites (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	display_name TEXT NOT NULL,
	time_zone TEXT NOT NULL,
	privacy_mode TEXT DEFAULT 'FULL' NOT NULL,
	lawful_basis TEXT,
	signage_date DATE,
	address TEXT,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	delete_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT sites_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT sites_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT sites_privacy_mode_check CHECK (privacy_mode IN ('FULL', 'NO_SNAPSHOTS', 'SAME_DAY', 'ANONYMOUS'))
);

COMMENT ON TABLE sites IS 'Places where cameras hang.';

COMMENT ON COLUMN sites.time_zone IS 'IANA name; business days follow it, so it changes only while there is no visit';

COMMENT ON COLUMN sites.privacy_mode IS 'Chosen when the site is made';

COMMENT ON COLUMN sites.signage_date IS 'Since when visitors are told';

CREATE TABLE staff (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	display_name TEXT NOT NULL,
	external_id TEXT,
	note TEXT DEFAULT '' NOT NULL,
	site_ids UUID[] DEFAULT '{}' NOT NULL,
	suspended BOOLEAN DEFAULT false NOT NULL,
	converted_from UUID,
	effective_time TIMESTAMP WITH TIME ZONE NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	delete_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT staff_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT staff_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);

CREATE UNIQUE INDEX staff_external_key ON staff (tenant_id, external_id) WHERE external_id IS NOT NULL;

CREATE INDEX staff_list_idx ON staff (tenant_id, display_name, id);

COMMENT ON TABLE staff IS 'People who work there: recognised everywhere in the tenant, counted nowhere.';

COMMENT ON COLUMN staff.site_ids IS 'Where they work; empty: everywhere';

COMMENT ON COLUMN staff.suspended IS 'Recognised no more, faces kept';

COMMENT ON COLUMN staff.converted_from IS 'The customer they were before';

COMMENT ON COLUMN staff.effective_time IS 'Their sightings do not count from then on';

CREATE TABLE token_families (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	subject_id UUID NOT NULL,
	subject_kind TEXT NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	revoke_time TIMESTAMP WITH TIME ZONE,
	revoke_reason TEXT,
	CONSTRAINT token_families_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT token_families_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT token_families_subject_kind_check CHECK (subject_kind IN ('USER', 'API_KEY'))
);

CREATE INDEX token_families_expiry_idx ON token_families (tenant_id, expire_time);

CREATE INDEX token_families_subject_idx ON token_families (tenant_id, subject_id);

COMMENT ON TABLE token_families IS 'One sign-in and all tokens that descend from it; revoked as a whole.';

COMMENT ON COLUMN token_families.subject_id IS 'User or API key';

CREATE TABLE users (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	email TEXT NOT NULL,
	display_name TEXT NOT NULL,
	role TEXT NOT NULL,
	password_hash TEXT,
	sign_in_time TIMESTAMP WITH TIME ZONE,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	disable_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT users_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT users_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT users_role_check CHECK (role IN ('SYSTEM_ADMIN', 'TENANT_ADMIN', 'SITE_MANAGER', 'VIEWER', 'PRIVACY_OFFICER'))
);

CREATE UNIQUE INDEX users_email_key ON users (tenant_id, lower(email));

CREATE INDEX users_sign_in_idx ON users (lower(email));

COMMENT ON TABLE users IS 'People. system_admins belong to the system tenant.';

COMMENT ON COLUMN users.email IS 'As entered; compared in lower case; one user of the installation has it';

COMMENT ON COLUMN users.password_hash IS 'argon2id; null until a password is set';

COMMENT ON COLUMN users.sign_in_time IS 'The last one';

CREATE TABLE webhooks (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	display_name TEXT DEFAULT '' NOT NULL,
	url TEXT NOT NULL,
	secret BYTEA NOT NULL,
	site_ids UUID[] DEFAULT '{}' NOT NULL,
	paused BOOLEAN DEFAULT false NOT NULL,
	delivery_time TIMESTAMP WITH TIME ZONE,
	problem JSONB,
	cursor_xid xid8,
	cursor_seq BIGINT,
	failure_count INTEGER DEFAULT 0 NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	delete_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT webhooks_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT webhooks_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);

COMMENT ON TABLE webhooks IS 'Addresses that want to hear of visits.';

COMMENT ON COLUMN webhooks.secret IS 'Encrypted by the application (AES-GCM, key id in front): what deliveries are signed with';

COMMENT ON COLUMN webhooks.site_ids IS 'Empty: every site';

COMMENT ON COLUMN webhooks.delivery_time IS 'Last success';

COMMENT ON COLUMN webhooks.problem IS 'footfall.type.v1.Problem of the last failure';

COMMENT ON COLUMN webhooks.cursor_xid IS 'Everything of the feed up to here has been made into deliveries';

CREATE TABLE alerts (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	kind TEXT NOT NULL,
	severity TEXT DEFAULT 'WARNING' NOT NULL,
	site_id UUID,
	camera_id UUID,
	worker_id UUID,
	subject_id UUID NOT NULL,
	message TEXT NOT NULL,
	note TEXT DEFAULT '' NOT NULL,
	start_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	end_time TIMESTAMP WITH TIME ZONE,
	acknowledge_time TIMESTAMP WITH TIME ZONE,
	acknowledge_user_id UUID,
	CONSTRAINT alerts_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT alerts_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT alerts_tenant_id_site_id_fkey FOREIGN KEY(tenant_id, site_id) REFERENCES sites (tenant_id, id),
	CONSTRAINT alerts_severity_check CHECK (severity IN ('INFO', 'WARNING', 'CRITICAL'))
);

CREATE INDEX alerts_list_idx ON alerts (tenant_id, start_time, id);

CREATE UNIQUE INDEX alerts_open_key ON alerts (tenant_id, kind, subject_id) WHERE end_time IS NULL;

COMMENT ON TABLE alerts IS 'What somebody should look at.';

COMMENT ON COLUMN alerts.subject_id IS 'What it is about: camera, worker, webhook, job, or the tenant';

COMMENT ON COLUMN alerts.message IS 'For people';

COMMENT ON COLUMN alerts.end_time IS 'When it was over';

CREATE TABLE customers (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	state TEXT DEFAULT 'PROVISIONAL' NOT NULL,
	merged_into UUID,
	display_name TEXT,
	external_id TEXT,
	note TEXT DEFAULT '' NOT NULL,
	gender TEXT,
	founding_event_id UUID,
	founding_site_id UUID,
	staff_id UUID,
	first_sighting_time TIMESTAMP WITH TIME ZONE,
	last_sighting_time TIMESTAMP WITH TIME ZONE,
	expire_time TIMESTAMP WITH TIME ZONE,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT customers_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT customers_tenant_id_merged_into_fkey FOREIGN KEY(tenant_id, merged_into) REFERENCES customers (tenant_id, id),
	CONSTRAINT customers_tenant_id_staff_id_fkey FOREIGN KEY(tenant_id, staff_id) REFERENCES staff (tenant_id, id),
	CONSTRAINT customers_state_check CHECK (state IN ('PROVISIONAL', 'ACTIVE', 'MERGED', 'CONVERTED', 'FORGOTTEN')),
	CONSTRAINT customers_merged_check CHECK ((state = 'MERGED') = (merged_into IS NOT NULL)),
	CONSTRAINT customers_not_itself_check CHECK (merged_into <> id)
);

CREATE INDEX customers_expiry_idx ON customers (tenant_id, expire_time);

CREATE UNIQUE INDEX customers_external_key ON customers (tenant_id, external_id) WHERE external_id IS NOT NULL;

CREATE INDEX customers_list_idx ON customers (tenant_id, last_sighting_time, id);

CREATE INDEX customers_merged_idx ON customers (tenant_id, merged_into) WHERE merged_into IS NOT NULL;

CREATE INDEX customers_provisional_idx ON customers (tenant_id, create_time) WHERE state = 'PROVISIONAL';

COMMENT ON TABLE customers IS 'Visitors, each once.';

COMMENT ON COLUMN customers.state IS 'PROVISIONAL until a sighting commits; leftovers are removed';

COMMENT ON COLUMN customers.display_name IS 'If the shop knows it';

COMMENT ON COLUMN customers.external_id IS 'The shop''s own number';

COMMENT ON COLUMN customers.staff_id IS 'For CONVERTED: the staff member';

COMMENT ON COLUMN customers.expire_time IS 'Embeddings go then; moves with the last sighting';

CREATE TABLE refresh_tokens (
	tenant_id UUID NOT NULL,
	token_hash BYTEA NOT NULL,
	family_id UUID NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	use_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT refresh_tokens_pkey PRIMARY KEY (tenant_id, token_hash),
	CONSTRAINT refresh_tokens_tenant_id_family_id_fkey FOREIGN KEY(tenant_id, family_id) REFERENCES token_families (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX refresh_tokens_family_idx ON refresh_tokens (tenant_id, family_id);

CREATE INDEX refresh_tokens_sign_in_idx ON refresh_tokens (token_hash);

COMMENT ON TABLE refresh_tokens IS 'Rotating refresh tokens.';

COMMENT ON COLUMN refresh_tokens.token_hash IS 'sha256';

COMMENT ON COLUMN refresh_tokens.use_time IS 'Exchanged once; a second use revokes the family';

CREATE TABLE sealed_days (
	tenant_id UUID NOT NULL,
	site_id UUID NOT NULL,
	local_date DATE NOT NULL,
	seal_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT sealed_days_pkey PRIMARY KEY (tenant_id, site_id, local_date),
	CONSTRAINT sealed_days_tenant_id_site_id_fkey FOREIGN KEY(tenant_id, site_id) REFERENCES sites (tenant_id, id)
);

COMMENT ON TABLE sealed_days IS 'Days that are counted for good, because their rows expire.';

CREATE TABLE site_rules (
	tenant_id UUID NOT NULL,
	site_id UUID NOT NULL,
	effective_time TIMESTAMP WITH TIME ZONE NOT NULL,
	visit_gap_seconds INTEGER DEFAULT 1800 NOT NULL,
	min_dwell_seconds INTEGER DEFAULT 10 NOT NULL,
	day_boundary_minutes INTEGER DEFAULT 240 NOT NULL,
	opening_hours JSONB,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT site_rules_pkey PRIMARY KEY (tenant_id, site_id, effective_time),
	CONSTRAINT site_rules_tenant_id_site_id_fkey FOREIGN KEY(tenant_id, site_id) REFERENCES sites (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT site_rules_visit_gap_seconds_check CHECK (visit_gap_seconds BETWEEN 1 AND 86400),
	CONSTRAINT site_rules_min_dwell_seconds_check CHECK (min_dwell_seconds BETWEEN 0 AND 3600),
	CONSTRAINT site_rules_day_boundary_minutes_check CHECK (day_boundary_minutes BETWEEN 0 AND 720)
);

COMMENT ON TABLE site_rules IS 'What a site counts by, effective-dated: a change never rewrites the past.';

COMMENT ON COLUMN site_rules.effective_time IS 'From then on; the earliest rule also holds for all time before it';

COMMENT ON COLUMN site_rules.visit_gap_seconds IS 'A longer gap between two sightings parts two visits';

COMMENT ON COLUMN site_rules.min_dwell_seconds IS 'A single track must be longer than this to tell a dwell';

COMMENT ON COLUMN site_rules.day_boundary_minutes IS 'A business day begins so long after local midnight: 04:00';

COMMENT ON COLUMN site_rules.opening_hours IS 'registry.v1.OpeningHours as JSON; null means always open';

CREATE TABLE staff_faces (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	staff_id UUID NOT NULL,
	space TEXT NOT NULL,
	image_id UUID,
	object_key TEXT,
	sha256 BYTEA,
	bytes INTEGER,
	width INTEGER,
	height INTEGER,
	content_type TEXT,
	quality JSONB,
	is_primary BOOLEAN DEFAULT false NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT staff_faces_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT staff_faces_tenant_id_staff_id_fkey FOREIGN KEY(tenant_id, staff_id) REFERENCES staff (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT staff_faces_image_check CHECK (num_nulls(image_id, object_key, sha256, content_type) IN (0, 4))
);

CREATE UNIQUE INDEX staff_faces_image_key ON staff_faces (tenant_id, staff_id, sha256);

CREATE UNIQUE INDEX staff_faces_picture_key ON staff_faces (tenant_id, image_id);

CREATE UNIQUE INDEX staff_faces_primary_key ON staff_faces (tenant_id, staff_id) WHERE is_primary;

COMMENT ON TABLE staff_faces IS 'Photographs that staff are recognised by.';

COMMENT ON COLUMN staff_faces.image_id IS 'What the API calls its picture; null for a face given as an embedding';

COMMENT ON COLUMN staff_faces.quality IS 'footfall.type.v1.FaceQuality as JSON';

CREATE TABLE tenant_thresholds (
	tenant_id UUID NOT NULL,
	space TEXT NOT NULL,
	effective_time TIMESTAMP WITH TIME ZONE NOT NULL,
	threshold DOUBLE PRECISION,
	founding_quality DOUBLE PRECISION,
	calibration_id UUID,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT tenant_thresholds_pkey PRIMARY KEY (tenant_id, space, effective_time),
	CONSTRAINT tenant_thresholds_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT tenant_thresholds_tenant_id_calibration_id_fkey FOREIGN KEY(tenant_id, calibration_id) REFERENCES calibrations (tenant_id, id),
	CONSTRAINT tenant_thresholds_threshold_check CHECK (threshold BETWEEN -1 AND 1),
	CONSTRAINT tenant_thresholds_founding_quality_check CHECK (founding_quality BETWEEN 0 AND 1)
);

COMMENT ON TABLE tenant_thresholds IS 'What a tenant decides by, per embedding space; the latest that is in effect holds. None: the model''s own.';

COMMENT ON COLUMN tenant_thresholds.threshold IS 'Cosine from which two faces are one person; null: the model''s';

COMMENT ON COLUMN tenant_thresholds.founding_quality IS 'A poorer face never founds a customer; null: the model''s';

CREATE TABLE user_sites (
	tenant_id UUID NOT NULL,
	user_id UUID NOT NULL,
	site_id UUID NOT NULL,
	CONSTRAINT user_sites_pkey PRIMARY KEY (tenant_id, user_id, site_id),
	CONSTRAINT user_sites_tenant_id_user_id_fkey FOREIGN KEY(tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT user_sites_tenant_id_site_id_fkey FOREIGN KEY(tenant_id, site_id) REFERENCES sites (tenant_id, id) ON DELETE CASCADE
);

COMMENT ON TABLE user_sites IS 'The sites of a site_manager.';

CREATE TABLE webhook_deliveries (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	webhook_id UUID NOT NULL,
	visit_id UUID NOT NULL,
	kind TEXT NOT NULL,
	state TEXT DEFAULT 'PENDING' NOT NULL,
	attempt_count INTEGER DEFAULT 0 NOT NULL,
	response_status INTEGER,
	error TEXT,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	attempt_time TIMESTAMP WITH TIME ZONE,
	next_attempt_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT webhook_deliveries_tenant_id_webhook_id_fkey FOREIGN KEY(tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT webhook_deliveries_state_check CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED'))
);

CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (tenant_id, next_attempt_time) WHERE state = 'PENDING';

CREATE INDEX webhook_deliveries_hook_idx ON webhook_deliveries (tenant_id, webhook_id, create_time);

COMMENT ON TABLE webhook_deliveries IS 'What was or is to be delivered.';

COMMENT ON COLUMN webhook_deliveries.error IS 'For people; no body of theirs';

CREATE TABLE workers (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	site_id UUID NOT NULL,
	display_name TEXT NOT NULL,
	state TEXT DEFAULT 'ENROLLED' NOT NULL,
	state_reason TEXT DEFAULT '' NOT NULL,
	state_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	any_site BOOLEAN DEFAULT false NOT NULL,
	agent_version TEXT,
	platform TEXT,
	execution_providers TEXT[] DEFAULT '{}' NOT NULL,
	embedding_spaces TEXT[] DEFAULT '{}' NOT NULL,
	slots INTEGER DEFAULT 0 NOT NULL,
	spare_frame_rate FLOAT DEFAULT '0' NOT NULL,
	spool_events INTEGER DEFAULT 0 NOT NULL,
	spool_bytes BIGINT DEFAULT 0 NOT NULL,
	spool_oldest_time TIMESTAMP WITH TIME ZONE,
	clock_offset_ms INTEGER DEFAULT 0 NOT NULL,
	generation BIGINT DEFAULT 0 NOT NULL,
	desired_revision BIGINT DEFAULT 0 NOT NULL,
	command_seq BIGINT DEFAULT 0 NOT NULL,
	command_ack_seq BIGINT DEFAULT 0 NOT NULL,
	heartbeat_time TIMESTAMP WITH TIME ZONE,
	drain_time TIMESTAMP WITH TIME ZONE,
	maintenance_time TIMESTAMP WITH TIME ZONE,
	stolen_time TIMESTAMP WITH TIME ZONE,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	delete_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT workers_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT workers_tenant_id_site_id_fkey FOREIGN KEY(tenant_id, site_id) REFERENCES sites (tenant_id, id),
	CONSTRAINT workers_state_check CHECK (state IN ('ENROLLED', 'CONNECTING', 'READY', 'FULL', 'UNHEALTHY', 'DRAINING', 'DRAINED', 'SUSPECT', 'LOST', 'MAINTENANCE', 'QUARANTINED'))
);

CREATE INDEX workers_site_idx ON workers (tenant_id, site_id);

COMMENT ON TABLE workers IS 'Machines that watch cameras.';

COMMENT ON COLUMN workers.state IS 'ENROLLED until its first Hello';

COMMENT ON COLUMN workers.any_site IS 'May also watch other sites'' cameras';

COMMENT ON COLUMN workers.embedding_spaces IS 'Best first';

COMMENT ON COLUMN workers.slots IS 'Cameras it is willing to watch';

COMMENT ON COLUMN workers.spool_oldest_time IS 'Capture time of the oldest event in its spool; null when empty';

COMMENT ON COLUMN workers.clock_offset_ms IS 'Server time minus its wall clock at the last heartbeat';

COMMENT ON COLUMN workers.generation IS 'Of its last session';

COMMENT ON COLUMN workers.command_seq IS 'Of the last command numbered for it';

COMMENT ON COLUMN workers.command_ack_seq IS 'Durably received by it up to here';

COMMENT ON COLUMN workers.heartbeat_time IS 'Server time of the last one';

COMMENT ON COLUMN workers.stolen_time IS 'Reported stolen: its spool is never unwrapped again';

CREATE TABLE api_keys (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	display_name TEXT NOT NULL,
	role TEXT NOT NULL,
	key_hash BYTEA NOT NULL,
	secret_prefix TEXT DEFAULT '' NOT NULL,
	site_ids UUID[] DEFAULT '{}' NOT NULL,
	worker_id UUID,
	camera_ids UUID[] DEFAULT '{}' NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	use_time TIMESTAMP WITH TIME ZONE,
	expire_time TIMESTAMP WITH TIME ZONE,
	revoke_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT api_keys_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
	CONSTRAINT api_keys_tenant_id_worker_id_fkey FOREIGN KEY(tenant_id, worker_id) REFERENCES workers (tenant_id, id),
	CONSTRAINT api_keys_role_check CHECK (role IN ('SYSTEM_ADMIN', 'TENANT_ADMIN', 'SITE_MANAGER', 'VIEWER', 'PRIVACY_OFFICER', 'WORKER'))
);

CREATE INDEX api_keys_sign_in_idx ON api_keys (id);

CREATE UNIQUE INDEX api_keys_worker_key ON api_keys (tenant_id, worker_id) WHERE revoke_time IS NULL;

COMMENT ON TABLE api_keys IS 'Keys of machines; the secret itself is shown once and never stored.';

COMMENT ON COLUMN api_keys.key_hash IS 'sha256 of the secret, which has 256 random bits of its own';

COMMENT ON COLUMN api_keys.secret_prefix IS 'The secret''s first characters, to tell keys apart';

COMMENT ON COLUMN api_keys.site_ids IS 'Its only sites; empty: every site';

COMMENT ON COLUMN api_keys.worker_id IS 'One key = one worker';

COMMENT ON COLUMN api_keys.camera_ids IS 'Those an integrator sends for';

COMMENT ON COLUMN api_keys.use_time IS 'The last sign-in';

CREATE TABLE cameras (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	site_id UUID NOT NULL,
	display_name TEXT NOT NULL,
	role TEXT DEFAULT 'ENTRANCE' NOT NULL,
	source_uri TEXT NOT NULL,
	recording_start_time TIMESTAMP WITH TIME ZONE,
	credentials BYTEA,
	masks JSONB DEFAULT '[]'::jsonb NOT NULL,
	settings JSONB DEFAULT '{}'::jsonb NOT NULL,
	outage_policy TEXT,
	enabled BOOLEAN DEFAULT true NOT NULL,
	processing BOOLEAN DEFAULT true NOT NULL,
	pinned_worker_id UUID,
	park_time TIMESTAMP WITH TIME ZONE,
	park_reason TEXT,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	delete_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT cameras_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT cameras_tenant_id_site_id_fkey FOREIGN KEY(tenant_id, site_id) REFERENCES sites (tenant_id, id),
	CONSTRAINT cameras_tenant_id_pinned_worker_id_fkey FOREIGN KEY(tenant_id, pinned_worker_id) REFERENCES workers (tenant_id, id),
	CONSTRAINT cameras_role_check CHECK (role IN ('ENTRANCE', 'INTERIOR', 'OUTSIDE')),
	CONSTRAINT cameras_outage_policy_check CHECK (outage_policy IN ('FAILOVER', 'PINNED'))
);

CREATE INDEX cameras_site_idx ON cameras (tenant_id, site_id);

COMMENT ON TABLE cameras IS 'Cameras, and how to watch them.';

COMMENT ON COLUMN cameras.source_uri IS 'rtsp, http, usb, file or folder; never with credentials in it';

COMMENT ON COLUMN cameras.recording_start_time IS 'Capture time of a film''s first frame; null: as if captured when opened';

COMMENT ON COLUMN cameras.credentials IS 'Encrypted by the application (AES-GCM, key id in front): user name and password of the source';

COMMENT ON COLUMN cameras.masks IS 'Polygons that are not looked at, in fractions of the frame';

COMMENT ON COLUMN cameras.settings IS 'Frame rate, smallest face, motion gate, …; absent means the default';

COMMENT ON COLUMN cameras.outage_policy IS 'Null: PINNED where the site has one worker, else FAILOVER';

COMMENT ON COLUMN cameras.processing IS 'False after STOP_PROCESSING: held open, not analysed';

COMMENT ON COLUMN cameras.pinned_worker_id IS 'Watched by this worker only';

COMMENT ON COLUMN cameras.park_time IS 'Since when no worker is tried; retried hourly';

CREATE TABLE embeddings (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	customer_id UUID,
	staff_id UUID,
	person_id UUID GENERATED ALWAYS AS (coalesce(customer_id, staff_id)) STORED NOT NULL,
	kind TEXT GENERATED ALWAYS AS (CASE WHEN staff_id IS NULL THEN 'CUSTOMER' ELSE 'STAFF' END) STORED NOT NULL,
	staff_face_id UUID,
	event_id UUID,
	space TEXT NOT NULL,
	vector BYTEA NOT NULL,
	quality REAL NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	index_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT embeddings_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT embeddings_tenant_id_customer_id_fkey FOREIGN KEY(tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT embeddings_tenant_id_staff_id_fkey FOREIGN KEY(tenant_id, staff_id) REFERENCES staff (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT embeddings_tenant_id_staff_face_id_fkey FOREIGN KEY(tenant_id, staff_face_id) REFERENCES staff_faces (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT embeddings_person_check CHECK (num_nonnulls(customer_id, staff_id) = 1)
);

CREATE INDEX embeddings_customer_idx ON embeddings (tenant_id, customer_id);

CREATE INDEX embeddings_fresh_idx ON embeddings (tenant_id, space, index_time);

CREATE INDEX embeddings_person_idx ON embeddings (tenant_id, person_id);

CREATE INDEX embeddings_staff_idx ON embeddings (tenant_id, staff_id);

COMMENT ON TABLE embeddings IS 'The gallery: what faces are compared with. The record; Milvus can be rebuilt from it.';

COMMENT ON COLUMN embeddings.id IS 'An enrolled face''s is its event''s id';

COMMENT ON COLUMN embeddings.vector IS 'Encrypted by the application (AES-GCM, key id in front): 512 float32, little-endian';

COMMENT ON COLUMN embeddings.index_time IS 'In Milvus since; null: not yet, so it is compared exactly';

CREATE TABLE merge_candidates (
	tenant_id UUID NOT NULL,
	first_id UUID NOT NULL,
	second_id UUID NOT NULL,
	similarity REAL NOT NULL,
	state TEXT DEFAULT 'OPEN' NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	end_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT merge_candidates_pkey PRIMARY KEY (tenant_id, first_id, second_id),
	CONSTRAINT merge_candidates_tenant_id_first_id_fkey FOREIGN KEY(tenant_id, first_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT merge_candidates_tenant_id_second_id_fkey FOREIGN KEY(tenant_id, second_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT merge_candidates_state_check CHECK (state IN ('OPEN', 'MERGED', 'DISMISSED')),
	CONSTRAINT merge_candidates_order_check CHECK (first_id < second_id)
);

CREATE INDEX merge_candidates_open_idx ON merge_candidates (tenant_id, similarity) WHERE state = 'OPEN';

CREATE INDEX merge_candidates_second_idx ON merge_candidates (tenant_id, second_id);

COMMENT ON TABLE merge_candidates IS 'Pairs that look alike, for a person to judge.';

COMMENT ON COLUMN merge_candidates.first_id IS 'The smaller of the two ids';

CREATE TABLE merges (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	winner_id UUID NOT NULL,
	loser_id UUID NOT NULL,
	subject_id UUID,
	reason TEXT,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	undo_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT merges_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT merges_tenant_id_winner_id_fkey FOREIGN KEY(tenant_id, winner_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT merges_tenant_id_loser_id_fkey FOREIGN KEY(tenant_id, loser_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT merges_two_check CHECK (winner_id <> loser_id)
);

CREATE INDEX merges_loser_idx ON merges (tenant_id, loser_id);

CREATE INDEX merges_winner_idx ON merges (tenant_id, winner_id);

COMMENT ON TABLE merges IS 'Customers that turned out to be one, and those that did not after all.';

COMMENT ON COLUMN merges.subject_id IS 'Who decided';

CREATE TABLE worker_sessions (
	tenant_id UUID NOT NULL,
	worker_id UUID NOT NULL,
	generation BIGINT NOT NULL,
	site_id UUID NOT NULL,
	boot_id UUID NOT NULL,
	replica TEXT NOT NULL,
	connect_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	renew_time TIMESTAMP WITH TIME ZONE,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	end_time TIMESTAMP WITH TIME ZONE,
	end_reason TEXT,
	CONSTRAINT worker_sessions_pkey PRIMARY KEY (tenant_id, worker_id, generation),
	CONSTRAINT worker_sessions_tenant_id_worker_id_fkey FOREIGN KEY(tenant_id, worker_id) REFERENCES workers (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX worker_sessions_expiry_idx ON worker_sessions (tenant_id, expire_time) WHERE end_time IS NULL;

COMMENT ON TABLE worker_sessions IS 'Connections of workers, one row per session.';

COMMENT ON COLUMN worker_sessions.generation IS '+1 per session of the worker; reclaim is scoped to it';

COMMENT ON COLUMN worker_sessions.replica IS 'Address of the registry replica that holds the stream; previews are relayed from there';

COMMENT ON COLUMN worker_sessions.expire_time IS 'Database time; renewed with every heartbeat';

CREATE TABLE camera_reports (
	tenant_id UUID NOT NULL,
	camera_id UUID NOT NULL,
	site_id UUID NOT NULL,
	worker_id UUID,
	epoch BIGINT DEFAULT 0 NOT NULL,
	activity TEXT DEFAULT 'OPENING' NOT NULL,
	frame_age_ms INTEGER,
	frame_rate FLOAT,
	problem JSONB,
	spool_events INTEGER DEFAULT 0 NOT NULL,
	complete_to_time TIMESTAMP WITH TIME ZONE,
	report_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT camera_reports_pkey PRIMARY KEY (tenant_id, camera_id),
	CONSTRAINT camera_reports_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT camera_reports_activity_check CHECK (activity IN ('OPENING', 'WATCHING', 'PAUSED', 'FAILING', 'FINISHED'))
);

COMMENT ON TABLE camera_reports IS 'How each camera fares, as its worker last said.';

COMMENT ON COLUMN camera_reports.problem IS 'footfall.type.v1.Problem, while FAILING';

COMMENT ON COLUMN camera_reports.complete_to_time IS 'Everything captured before it has arrived: the spool''s watermark';

COMMENT ON COLUMN camera_reports.report_time IS 'Server time of the heartbeat';

CREATE TABLE commands (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	worker_id UUID NOT NULL,
	site_id UUID NOT NULL,
	camera_id UUID,
	seq BIGINT,
	kind TEXT NOT NULL,
	payload JSONB DEFAULT '{}'::jsonb NOT NULL,
	state TEXT DEFAULT 'PENDING' NOT NULL,
	problem JSONB,
	result BYTEA,
	subject_id UUID,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deadline_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ack_time TIMESTAMP WITH TIME ZONE,
	end_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT commands_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT commands_tenant_id_worker_id_fkey FOREIGN KEY(tenant_id, worker_id) REFERENCES workers (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT commands_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT commands_state_check CHECK (state IN ('PENDING', 'ACCEPTED', 'SUCCEEDED', 'FAILED', 'EXPIRED', 'UNSUPPORTED', 'SUPERSEDED'))
);

CREATE INDEX commands_open_idx ON commands (tenant_id, worker_id, seq) WHERE end_time IS NULL;

CREATE UNIQUE INDEX commands_seq_key ON commands (tenant_id, worker_id, seq);

COMMENT ON TABLE commands IS 'What workers were told to do once, and how it ended.';

COMMENT ON COLUMN commands.seq IS 'Per worker, without gaps; null for those that only change desired state';

COMMENT ON COLUMN commands.result IS 'CommandResult, serialized';

COMMENT ON COLUMN commands.subject_id IS 'Who asked';

CREATE TABLE count_checks (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	site_id UUID NOT NULL,
	camera_id UUID,
	start_time TIMESTAMP WITH TIME ZONE NOT NULL,
	end_time TIMESTAMP WITH TIME ZONE NOT NULL,
	manual_count INTEGER NOT NULL,
	counted INTEGER NOT NULL,
	note TEXT,
	subject_id UUID NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT count_checks_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT count_checks_tenant_id_site_id_fkey FOREIGN KEY(tenant_id, site_id) REFERENCES sites (tenant_id, id),
	CONSTRAINT count_checks_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id),
	CONSTRAINT count_checks_span_check CHECK (start_time < end_time)
);

CREATE INDEX count_checks_list_idx ON count_checks (tenant_id, site_id, start_time);

COMMENT ON TABLE count_checks IS 'Counts by hand, next to ours.';

CREATE TABLE coverage_slices (
	tenant_id UUID NOT NULL,
	camera_id UUID NOT NULL,
	start_time TIMESTAMP WITH TIME ZONE NOT NULL,
	epoch BIGINT NOT NULL,
	boot_id UUID NOT NULL,
	site_id UUID NOT NULL,
	watched_ms INTEGER DEFAULT 0 NOT NULL,
	frames INTEGER DEFAULT 0 NOT NULL,
	faces_seen INTEGER DEFAULT 0 NOT NULL,
	faces_usable INTEGER DEFAULT 0 NOT NULL,
	events_evicted INTEGER DEFAULT 0 NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT coverage_slices_pkey PRIMARY KEY (tenant_id, camera_id, start_time, epoch, boot_id),
	CONSTRAINT coverage_slices_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT coverage_slices_quarter_check CHECK (extract(epoch FROM start_time)::bigint % 900 = 0),
	CONSTRAINT coverage_slices_watched_ms_check CHECK (watched_ms BETWEEN 0 AND 900000)
);

CREATE INDEX coverage_slices_site_idx ON coverage_slices (tenant_id, site_id, start_time);

COMMENT ON TABLE coverage_slices IS 'What was watched: totals that only grow, the greatest is kept.';

COMMENT ON COLUMN coverage_slices.start_time IS 'Of the quarter of an hour';

CREATE TABLE face_events (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	site_id UUID NOT NULL,
	camera_id UUID NOT NULL,
	worker_id UUID,
	lease_epoch BIGINT NOT NULL,
	capture_time TIMESTAMP WITH TIME ZONE NOT NULL,
	track_start_time TIMESTAMP WITH TIME ZONE NOT NULL,
	track_end_time TIMESTAMP WITH TIME ZONE NOT NULL,
	clock_offset_ms INTEGER DEFAULT 0 NOT NULL,
	clock_uncertainty_ms INTEGER DEFAULT 0 NOT NULL,
	quality REAL NOT NULL,
	detection_score REAL,
	face_pixels INTEGER,
	yaw_degrees REAL,
	box REAL[],
	gender TEXT,
	space TEXT,
	embedding BYTEA,
	second_embedding BYTEA,
	staff_hint_id UUID,
	verdict TEXT NOT NULL,
	matched_customer_id UUID,
	customer_id UUID,
	staff_id UUID,
	embedding_id UUID,
	similarity REAL,
	threshold REAL,
	counts BOOLEAN DEFAULT true NOT NULL,
	visit_id UUID,
	body_hash BYTEA,
	receive_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT face_events_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT face_events_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id),
	CONSTRAINT face_events_verdict_check CHECK (verdict IN ('MATCHED', 'ENROLLED', 'STAFF', 'UNDECIDED', 'ANONYMOUS')),
	CONSTRAINT face_events_track_check CHECK (track_start_time <= track_end_time),
	CONSTRAINT face_events_person_check CHECK (customer_id IS NULL OR staff_id IS NULL)
)
 PARTITION BY RANGE (id);

CREATE INDEX face_events_camera_idx ON face_events (tenant_id, camera_id, capture_time) WHERE camera_id IS NOT NULL;

CREATE INDEX face_events_embedding_idx ON face_events (tenant_id, capture_time) WHERE embedding IS NOT NULL;

CREATE INDEX face_events_fold_idx ON face_events (tenant_id, customer_id, site_id, track_start_time) WHERE customer_id IS NOT NULL;

CREATE INDEX face_events_visit_idx ON face_events (tenant_id, visit_id) WHERE visit_id IS NOT NULL;

COMMENT ON TABLE face_events IS 'Sightings, each once. Partitioned by month of the id; only the parent is granted to anybody.';

COMMENT ON COLUMN face_events.id IS 'UUIDv7 of capture_time, made by the agent';

COMMENT ON COLUMN face_events.worker_id IS 'Null for integrators';

COMMENT ON COLUMN face_events.capture_time IS 'Of the best shot, corrected once, at capture';

COMMENT ON COLUMN face_events.quality IS 'FaceQuality.overall';

COMMENT ON COLUMN face_events.box IS 'left, top, width, height in fractions of the frame';

COMMENT ON COLUMN face_events.space IS 'Of the embedding';

COMMENT ON COLUMN face_events.embedding IS 'Encrypted by the application (AES-GCM, key id in front): 512 float32; gone with the raw image';

COMMENT ON COLUMN face_events.second_embedding IS 'Encrypted by the application (AES-GCM, key id in front): another shot of the same track, on a sample of events';

COMMENT ON COLUMN face_events.verdict IS 'ANONYMOUS: the site''s privacy mode asked for no decision';

COMMENT ON COLUMN face_events.matched_customer_id IS 'Whom matching named; never changes';

COMMENT ON COLUMN face_events.customer_id IS 'Whose it is today: after merges, unmerges and moved sightings';

COMMENT ON COLUMN face_events.embedding_id IS 'The gallery''s embedding that it matched';

COMMENT ON COLUMN face_events.counts IS 'False once its person became staff and earlier visits were to go too';

COMMENT ON COLUMN face_events.visit_id IS 'Set by the fold';

COMMENT ON COLUMN face_events.body_hash IS 'sha256 of the event as sent: other content under the same id is refused';

CREATE TABLE face_images (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	event_id UUID NOT NULL,
	site_id UUID NOT NULL,
	camera_id UUID NOT NULL,
	object_key TEXT,
	sha256 BYTEA NOT NULL,
	bytes INTEGER NOT NULL,
	width INTEGER NOT NULL,
	height INTEGER NOT NULL,
	content_type TEXT NOT NULL,
	capture_time TIMESTAMP WITH TIME ZONE NOT NULL,
	state TEXT DEFAULT 'STORED' NOT NULL,
	create_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	delete_time TIMESTAMP WITH TIME ZONE,
	CONSTRAINT face_images_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT face_images_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id),
	CONSTRAINT face_images_state_check CHECK (state IN ('STORED', 'DELETED')),
	CONSTRAINT face_images_object_check CHECK ((state = 'STORED') = (object_key IS NOT NULL))
);

CREATE UNIQUE INDEX face_images_event_key ON face_images (tenant_id, event_id);

CREATE INDEX face_images_expiry_idx ON face_images (tenant_id, expire_time) WHERE state = 'STORED';

COMMENT ON TABLE face_images IS 'Snapshots of events.';

COMMENT ON COLUMN face_images.object_key IS 'Null once the sweep has removed the object';

CREATE TABLE lease_epochs (
	tenant_id UUID NOT NULL,
	camera_id UUID NOT NULL,
	epoch BIGINT NOT NULL,
	lease_id UUID DEFAULT gen_random_uuid() NOT NULL,
	site_id UUID NOT NULL,
	worker_id UUID NOT NULL,
	generation BIGINT NOT NULL,
	grant_time TIMESTAMP WITH TIME ZONE NOT NULL,
	expire_time TIMESTAMP WITH TIME ZONE,
	end_time TIMESTAMP WITH TIME ZONE,
	end_reason TEXT,
	problem JSONB,
	CONSTRAINT lease_epochs_pkey PRIMARY KEY (tenant_id, camera_id, epoch),
	CONSTRAINT lease_epochs_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT lease_epochs_tenant_id_worker_id_fkey FOREIGN KEY(tenant_id, worker_id) REFERENCES workers (tenant_id, id)
);

CREATE INDEX lease_epochs_worker_idx ON lease_epochs (tenant_id, worker_id, grant_time);

COMMENT ON TABLE lease_epochs IS 'Who watched which camera from when to when; what ingest judges events by.';

COMMENT ON COLUMN lease_epochs.expire_time IS 'Last renewed expiry; null for PINNED';

COMMENT ON COLUMN lease_epochs.end_time IS 'Null while it runs';

COMMENT ON COLUMN lease_epochs.end_reason IS 'RELEASED, EXPIRED, FLIPPED, REGRANTED, …';

COMMENT ON COLUMN lease_epochs.problem IS 'footfall.type.v1.Problem, when its holder gave it up';

CREATE TABLE leases (
	tenant_id UUID NOT NULL,
	camera_id UUID NOT NULL,
	site_id UUID NOT NULL,
	state TEXT DEFAULT 'RELEASED' NOT NULL,
	lease_id UUID,
	epoch BIGINT DEFAULT 0 NOT NULL,
	worker_id UUID,
	generation BIGINT,
	outage_policy TEXT DEFAULT 'FAILOVER' NOT NULL,
	grant_time TIMESTAMP WITH TIME ZONE,
	expire_time TIMESTAMP WITH TIME ZONE,
	release_deadline_time TIMESTAMP WITH TIME ZONE,
	successor_lease_id UUID,
	successor_worker_id UUID,
	successor_generation BIGINT,
	successor_time TIMESTAMP WITH TIME ZONE,
	failures JSONB DEFAULT '{}'::jsonb NOT NULL,
	update_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT leases_pkey PRIMARY KEY (tenant_id, camera_id),
	CONSTRAINT leases_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT leases_tenant_id_worker_id_fkey FOREIGN KEY(tenant_id, worker_id) REFERENCES workers (tenant_id, id),
	CONSTRAINT leases_tenant_id_successor_worker_id_fkey FOREIGN KEY(tenant_id, successor_worker_id) REFERENCES workers (tenant_id, id),
	CONSTRAINT leases_state_check CHECK (state IN ('PENDING', 'ACTIVE', 'RELEASING', 'RELEASED', 'EXPIRED', 'REJECTED')),
	CONSTRAINT leases_outage_policy_check CHECK (outage_policy IN ('FAILOVER', 'PINNED'))
);

CREATE INDEX leases_expiry_idx ON leases (tenant_id, expire_time) WHERE expire_time IS NOT NULL;

CREATE INDEX leases_worker_idx ON leases (tenant_id, worker_id);

COMMENT ON TABLE leases IS 'Who watches which camera now: one row per camera, changed by compare-and-set.';

COMMENT ON COLUMN leases.lease_id IS 'UUIDv7 of the lease that lives, or lived last';

COMMENT ON COLUMN leases.epoch IS 'Fencing number of the last grant: +1 at each, never reused';

COMMENT ON COLUMN leases.worker_id IS 'Who watches; null when nobody does';

COMMENT ON COLUMN leases.generation IS 'Session under which it was last renewed';

COMMENT ON COLUMN leases.expire_time IS 'Database time. Null for PINNED, which no silence ends';

COMMENT ON COLUMN leases.successor_worker_id IS 'Holds a PENDING lease without an epoch';

COMMENT ON COLUMN leases.failures IS '{worker: times it failed on this camera}';

CREATE TABLE quarantined_events (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	site_id UUID NOT NULL,
	camera_id UUID NOT NULL,
	worker_id UUID,
	lease_epoch BIGINT NOT NULL,
	capture_time TIMESTAMP WITH TIME ZONE NOT NULL,
	reason TEXT NOT NULL,
	payload BYTEA,
	state TEXT DEFAULT 'WAITING' NOT NULL,
	receive_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	end_time TIMESTAMP WITH TIME ZONE,
	end_user_id UUID,
	expire_time TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT quarantined_events_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT quarantined_events_tenant_id_camera_id_fkey FOREIGN KEY(tenant_id, camera_id) REFERENCES cameras (tenant_id, id),
	CONSTRAINT quarantined_events_state_check CHECK (state IN ('WAITING', 'RELEASED', 'DISCARDED'))
);

CREATE INDEX quarantined_events_list_idx ON quarantined_events (tenant_id, receive_time, id);

COMMENT ON TABLE quarantined_events IS 'Events that arrived under a lease that was over: kept, not matched, until somebody decides.';

COMMENT ON COLUMN quarantined_events.id IS 'The event''s';

COMMENT ON COLUMN quarantined_events.reason IS 'ErrorReason without its prefix';

COMMENT ON COLUMN quarantined_events.payload IS 'Encrypted by the application (AES-GCM, key id in front): the whole FaceDetected, for a later release';

COMMENT ON COLUMN quarantined_events.end_time IS 'Released or discarded';

COMMENT ON COLUMN quarantined_events.end_user_id IS 'By whom';

COMMENT ON COLUMN quarantined_events.expire_time IS 'Discarded by itself: the payload holds a face';

CREATE TABLE face_events_default PARTITION OF face_events DEFAULT;

CREATE FUNCTION sign_in_users(p_email text)
RETURNS TABLE (tenant_id uuid, user_id uuid, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  -- The same person may be a user of several tenants; whose password fits is the one who signs in.
  SELECT u.tenant_id, u.id, u.password_hash FROM public.users u WHERE lower(u.email) = lower(p_email)
  ORDER BY u.id LIMIT 8
$$;

CREATE FUNCTION sign_in_api_key(p_id uuid)
RETURNS TABLE (tenant_id uuid, key_hash bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT k.tenant_id, k.key_hash FROM public.api_keys k WHERE k.id = p_id $$;

CREATE FUNCTION sign_in_refresh_token(p_token_hash bytea)
RETURNS TABLE (tenant_id uuid, family_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT t.tenant_id, t.family_id FROM public.refresh_tokens t WHERE t.token_hash = p_token_hash $$;

CREATE FUNCTION ensure_face_event_partitions(p_months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '5s'
AS $$
-- Makes the partitions of last month to p_months ahead that do not exist yet; returns how many it made. Rows of such a
-- month that lie in the default partition (nobody called for long) move. Owned by footfall_owner, as the tables are.
DECLARE
  v_month timestamptz := date_trunc('month', now(), 'UTC') - interval '1 month';
  v_last timestamptz := date_trunc('month', now(), 'UTC') + make_interval(months => p_months);
  v_name text;
  v_from uuid;
  v_to uuid;
  v_strays boolean;
  v_made integer := 0;
BEGIN
  IF p_months NOT BETWEEN 0 AND 24 THEN
    RAISE EXCEPTION 'p_months must be between 0 and 24' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('ensure_face_event_partitions', 0));
  WHILE v_month <= v_last LOOP
    v_name := 'face_events_' || to_char(v_month AT TIME ZONE 'UTC', 'YYYY_MM');
    v_from := (lpad(to_hex((extract(epoch FROM v_month) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
    v_month := (v_month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    v_to := (lpad(to_hex((extract(epoch FROM v_month) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
    CONTINUE WHEN to_regclass('public.' || v_name) IS NOT NULL;

    ALTER TABLE public.face_events_default NO FORCE ROW LEVEL SECURITY;  -- so that the owner sees the strays
    SELECT EXISTS (SELECT FROM public.face_events_default WHERE id >= v_from AND id < v_to) INTO v_strays;
    IF v_strays THEN
      -- By way of a table aside: attaching one that is full would check its foreign keys with the owner's eyes, which
      -- see no tenant's cameras.
      CREATE TABLE public.face_events_moving AS
        SELECT * FROM public.face_events_default WHERE id >= v_from AND id < v_to;
      DELETE FROM public.face_events_default WHERE id >= v_from AND id < v_to;
    END IF;
    EXECUTE format(
      'CREATE TABLE public.%I PARTITION OF public.face_events FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_to);
    IF v_strays THEN
      EXECUTE format('INSERT INTO public.%I SELECT * FROM public.face_events_moving', v_name);
      DROP TABLE public.face_events_moving;
    END IF;
    ALTER TABLE public.face_events_default FORCE ROW LEVEL SECURITY;
    -- Policies do not pass from parent to child where a child is asked directly; nor is a child ever granted.
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', v_name);
    EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', v_name);
    EXECUTE format('CREATE POLICY tenant ON public.%I FOR ALL USING (tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid) WITH CHECK (tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid)', v_name);
    EXECUTE format('CREATE POLICY site ON public.%I AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting(''app.site_ids'', true), '''')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting(''app.site_ids'', true), '''')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting(''app.site_ids'', true), '''')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting(''app.site_ids'', true), '''')::uuid[])::uuid[]))', v_name);
    v_made := v_made + 1;
  END LOOP;
  RETURN v_made;
END
$$;

CREATE FUNCTION uuid_v7(p_at timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE
AS $$
  -- The server's own uuidv7() came with PostgreSQL 18. Version 4 is 0100 in bits 52 to 55: two more make it 7.
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM p_at) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid
$$;

CREATE FUNCTION business_day_start(p_tenant uuid, p_site uuid, p_day date) RETURNS timestamptz
LANGUAGE plpgsql STABLE  -- not sql: that would be planned at every call
AS $$
DECLARE
  v_zone text;
  v_midnight timestamptz;
  v_minutes integer;
BEGIN
  SELECT s.time_zone INTO v_zone FROM sites s WHERE s.tenant_id = p_tenant AND s.id = p_site;
  v_midnight := p_day::timestamp AT TIME ZONE v_zone;
  -- By the rule in force at that day's midnight: the latest by then, or the earliest of all.
  SELECT r.day_boundary_minutes INTO v_minutes FROM site_rules r WHERE r.tenant_id = p_tenant AND r.site_id = p_site
    ORDER BY r.effective_time > v_midnight, abs(extract(epoch FROM r.effective_time - v_midnight)) LIMIT 1;
  RETURN (p_day + make_interval(mins => coalesce(v_minutes, 240))) AT TIME ZONE v_zone;
END
$$;

CREATE FUNCTION business_day(p_tenant uuid, p_site uuid, p_at timestamptz) RETURNS date
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_day date;
BEGIN
  -- The last day that had begun by then: the local date, or the one before.
  SELECT (p_at AT TIME ZONE s.time_zone)::date INTO v_day FROM sites s WHERE s.tenant_id = p_tenant AND s.id = p_site;
  RETURN CASE WHEN business_day_start(p_tenant, p_site, v_day) <= p_at THEN v_day ELSE v_day - 1 END;
END
$$;

CREATE FUNCTION fold_visits_batch(
  p_tenant uuid, p_customers uuid[], p_sites uuid[], p_from timestamptz[], p_to timestamptz[])
RETURNS TABLE (visit_id uuid, kind text, start_time timestamptz, end_time timestamptz, local_date date)
-- Planning anew for each batch would cost more than running does. So plans are kept, and must be good from the first,
-- empty day on, whatever is known of the tables. Each is read by LATERAL with OFFSET 0 or LIMIT, for one customer or by
-- one key at a time, and written by key; and no other index fits. Hence "NOT IN ('SUPERSEDED', 'RETRACTED')" where a
-- customer's visits are wanted: the indexes of LIVE ones begin with the tenant, and would seem to do as well.
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  -- A customer's first visit may be at a site that the caller is not for.
  v_sites text := current_setting('app.site_ids', true);
  v_day_sites uuid[];  -- business days, one place each in these four
  v_days date[];
  v_day_starts timestamptz[];
  v_day_ends timestamptz[];
  v_span_customers uuid[];  -- what is rebuilt: whole days of one customer at one site, one place each in these four
  v_span_sites uuid[];
  v_span_starts timestamptz[];
  v_span_ends timestamptz[];
  v_customers uuid[];  -- and where their first visits were, one place each in these three
  v_first_times timestamptz[];
  v_first_dates date[];
  v_run record;
  v_kept uuid[] := '{}';
  v_over uuid;
  v_dead record;
BEGIN
  PERFORM set_config('app.site_ids', '', true);

  SELECT array_agg(site_id), array_agg(day), array_agg(starts), array_agg(ends)
  INTO v_day_sites, v_days, v_day_starts, v_day_ends
  FROM (
    SELECT site_id, day, starts, lead(starts) OVER later AS ends, lead(day) OVER later AS next_day
    FROM (
      SELECT site_id, day, business_day_start(p_tenant, site_id, day) AS starts
      FROM (
        -- The local dates of both ends, and one before and after: a business day begins within its date.
        SELECT DISTINCT asked.site_id, (asked.from_time AT TIME ZONE zone)::date + i AS day
        FROM unnest(p_sites, p_from, p_to) AS asked(site_id, from_time, to_time)
        LEFT JOIN LATERAL (
          SELECT s.time_zone FROM sites s WHERE s.tenant_id = p_tenant AND s.id = asked.site_id LIMIT 1
        ) AS place(zone) ON true
        LEFT JOIN LATERAL generate_series(
          -1, (asked.to_time AT TIME ZONE zone)::date - (asked.from_time AT TIME ZONE zone)::date + 1) AS i ON true
      ) AS dates
    ) AS begun
    WINDOW later AS (PARTITION BY site_id ORDER BY day)
  ) AS days
  WHERE next_day = day + 1 OR day IS NULL;
  IF array_position(v_days, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'no such site' USING ERRCODE = 'no_data_found';
  END IF;

  SELECT array_agg(customer_id), array_agg(site_id), array_agg(starts), array_agg(ends)
  INTO v_span_customers, v_span_sites, v_span_starts, v_span_ends
  FROM (
    SELECT asked.customer_id, asked.site_id, min(day.starts) AS starts, max(day.ends) AS ends
    FROM (
      SELECT customer_id, site_id, min(from_time) AS from_time, max(to_time) AS to_time
      FROM unnest(p_customers, p_sites, p_from, p_to) AS given(customer_id, site_id, from_time, to_time)
      GROUP BY customer_id, site_id
    ) AS asked
    JOIN unnest(v_day_sites, v_day_starts, v_day_ends) AS day(site_id, starts, ends)
      ON day.site_id = asked.site_id AND day.starts <= asked.to_time AND day.ends > asked.from_time
    GROUP BY asked.customer_id, asked.site_id
  ) AS spans;

  SELECT array_agg(customer_id), array_agg(v.start_time), array_agg(v.local_date)
  INTO v_customers, v_first_times, v_first_dates
  FROM (SELECT DISTINCT customer_id FROM unnest(p_customers) AS customer_id) AS customers
  LEFT JOIN LATERAL (
    SELECT v.start_time, v.local_date FROM visits v
    WHERE v.tenant_id = p_tenant AND v.customer_id = customers.customer_id
      AND v.state NOT IN ('SUPERSEDED', 'RETRACTED')
    ORDER BY v.start_time LIMIT 1
  ) AS v ON true;

  FOR v_run IN
    WITH spans AS (
      SELECT * FROM unnest(v_span_customers, v_span_sites, v_span_starts, v_span_ends)
        WITH ORDINALITY AS span(customer_id, site_id, starts, ends, span)
    ),
    seen AS (
      SELECT spans.span, spans.customer_id, spans.site_id, day.day, e.*,
        coalesce(rule.visit_gap_seconds, 1800) AS gap_seconds,
        coalesce(rule.min_dwell_seconds, 10) AS min_dwell_seconds
      FROM spans CROSS JOIN LATERAL (
        SELECT e.id, e.camera_id, e.track_start_time AS from_time, e.track_end_time AS to_time, e.quality, e.visit_id
        FROM face_events e
        WHERE e.tenant_id = p_tenant AND e.customer_id = spans.customer_id AND e.site_id = spans.site_id AND e.counts
          AND e.track_start_time >= spans.starts AND e.track_start_time < spans.ends
        OFFSET 0
      ) AS e
      JOIN unnest(v_day_sites, v_days, v_day_starts, v_day_ends) AS day(site_id, day, starts, ends)
        ON day.site_id = spans.site_id AND e.from_time >= day.starts AND e.from_time < day.ends
      LEFT JOIN LATERAL (
        -- In force at the sighting's start: the latest rule by then, or the earliest of all.
        SELECT r.visit_gap_seconds, r.min_dwell_seconds FROM site_rules r
        WHERE r.tenant_id = p_tenant AND r.site_id = spans.site_id
        ORDER BY r.effective_time > e.from_time, abs(extract(epoch FROM r.effective_time - e.from_time)) LIMIT 1
      ) AS rule ON true
    ),
    numbered AS (
      SELECT parted.*, count(*) FILTER (WHERE parts) OVER (PARTITION BY span ORDER BY from_time, id) AS run
      FROM (
        SELECT seen.*, coalesce(
          from_time > max(to_time) OVER earlier + make_interval(secs => gap_seconds), true) AS parts
        FROM seen
        WINDOW earlier AS (
          PARTITION BY span, day ORDER BY from_time, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
      ) AS parted
    ),
    runs AS (
      SELECT span, run, customer_id, site_id, min(day) AS local_date, min(from_time) AS from_time,
        max(to_time) AS to_time, count(*)::integer AS sightings,
        (array_agg(id ORDER BY from_time, id))[1] AS first_event_id,
        (array_agg(id ORDER BY quality DESC, from_time, id))[1] AS best_event_id,
        (array_agg(camera_id ORDER BY from_time, id))[1] AS first_camera_id,
        (array_agg(camera_id ORDER BY to_time DESC, from_time DESC, id DESC))[1] AS last_camera_id,
        CASE WHEN count(*) > 1
            OR max(to_time) - min(from_time)
              > make_interval(secs => (array_agg(min_dwell_seconds ORDER BY from_time, id))[1])
          THEN extract(epoch FROM max(to_time) - min(from_time))::integer END AS dwell_seconds,
        array_agg(id) AS event_ids, array_agg(visit_id) AS visit_ids
      FROM numbered GROUP BY span, run, customer_id, site_id
    ),
    -- A former visit belongs to the run that holds its first sighting.
    former AS (
      SELECT DISTINCT ON (span, visit_id) span, customer_id, visit_id AS id, run FROM numbered
      WHERE visit_id IS NOT NULL ORDER BY span, visit_id, from_time, numbered.id
    ),
    heirlooms AS (
      SELECT former.span, former.run,
        array_agg(v.visit ORDER BY (v.visit).create_time, (v.visit).start_time, (v.visit).id)
          FILTER (WHERE (v.visit).customer_id = former.customer_id) AS own,
        array_agg((v.visit).id) FILTER (WHERE (v.visit).customer_id <> former.customer_id AND NOT EXISTS (
          SELECT FROM face_events e
          WHERE e.tenant_id = p_tenant AND e.visit_id = (v.visit).id AND e.customer_id = (v.visit).customer_id
            AND e.counts
        )) AS taken
      FROM former CROSS JOIN LATERAL (
        SELECT v AS visit FROM visits v
        WHERE v.tenant_id = p_tenant AND v.id = former.id
          AND (v.state = 'LIVE' OR (v.state = 'RETRACTED' AND v.customer_id <> former.customer_id)) LIMIT 1
      ) AS v
      GROUP BY former.span, former.run
    ),
    heirs AS (
      SELECT runs.*, (own[1]).id AS former_id, (own[1]).local_date AS former_date, taken,
        ARRAY(SELECT (other).id FROM unnest(own[2:]) AS other) AS others,
        coalesce((own[1]).id, uuid_v7(clock_timestamp())) AS id,
        (runs.local_date, from_time, to_time, sightings, runs.dwell_seconds, runs.first_event_id, runs.best_event_id,
            runs.last_camera_id)
          IS DISTINCT FROM ((own[1]).local_date, (own[1]).start_time, (own[1]).end_time, (own[1]).sighting_count,
            (own[1]).dwell_seconds, (own[1]).first_event_id, (own[1]).best_event_id, (own[1]).last_camera_id)
          AS is_changed
      FROM runs LEFT JOIN heirlooms USING (span, run)
    ),
    changed AS (
      SELECT heirs.*, CASE WHEN former_id IS NULL THEN 'CREATED' ELSE 'UPDATED' END AS kind FROM heirs WHERE is_changed
    ),
    written AS (
      INSERT INTO visits (tenant_id, id, customer_id, site_id, local_date, start_time, end_time, sighting_count,
        dwell_seconds, first_event_id, best_event_id, first_camera_id, last_camera_id)
      SELECT p_tenant, id, customer_id, site_id, local_date, from_time, to_time, sightings,
        dwell_seconds, first_event_id, best_event_id, first_camera_id, last_camera_id
      FROM changed
      ON CONFLICT (tenant_id, id) DO UPDATE SET (local_date, start_time, end_time, sighting_count, dwell_seconds,
          first_event_id, best_event_id, first_camera_id, last_camera_id, update_time)
        = (excluded.local_date, excluded.start_time, excluded.end_time, excluded.sighting_count,
          excluded.dwell_seconds, excluded.first_event_id, excluded.best_event_id, excluded.first_camera_id,
          excluded.last_camera_id, now())
    ),
    told AS (
      INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind)
      SELECT p_tenant, id, site_id, kind FROM changed ORDER BY span, run
    ),
    marked AS (
      -- Its day may change with a rule: then both are marked.
      INSERT INTO dirty_days (tenant_id, site_id, local_date)
      SELECT DISTINCT p_tenant, site_id, altered
      FROM changed, LATERAL (VALUES (local_date), (former_date)) AS day(altered) WHERE altered IS NOT NULL
    )
    SELECT heirs.*, CASE WHEN is_changed THEN CASE WHEN former_id IS NULL THEN 'CREATED' ELSE 'UPDATED' END END AS kind
    FROM heirs ORDER BY span, run
  LOOP
    v_kept := v_kept || v_run.id;
    FOR i IN 1 .. v_run.sightings LOOP  -- one by one: most are in place, and an id tells its partition
      IF v_run.visit_ids[i] IS DISTINCT FROM v_run.id THEN
        UPDATE face_events e SET visit_id = v_run.id WHERE e.tenant_id = p_tenant AND e.id = v_run.event_ids[i];
      END IF;
    END LOOP;
    IF v_run.kind IS NOT NULL THEN
      visit_id := v_run.id;
      kind := v_run.kind;
      start_time := v_run.from_time;
      end_time := v_run.to_time;
      local_date := v_run.local_date;
      RETURN NEXT;
    END IF;

    FOREACH v_over IN ARRAY v_run.others || coalesce(v_run.taken, '{}') LOOP
      -- Two customers of the batch may have taken the sightings of one visit: the first is its heir.
      UPDATE visits v SET state = 'SUPERSEDED', superseded_by = v_run.id, update_time = now()
      WHERE v.tenant_id = p_tenant AND v.id = v_over AND v.state <> 'SUPERSEDED'
      RETURNING v.id, v.site_id, v.start_time, v.end_time, v.local_date INTO v_dead;
      CONTINUE WHEN NOT FOUND;
      kind := 'REMOVED';
      INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind) VALUES (p_tenant, v_dead.id, v_dead.site_id, kind);
      INSERT INTO dirty_days (tenant_id, site_id, local_date) VALUES (p_tenant, v_dead.site_id, v_dead.local_date);
      visit_id := v_dead.id;
      start_time := v_dead.start_time;
      end_time := v_dead.end_time;
      local_date := v_dead.local_date;
      RETURN NEXT;
    END LOOP;
  END LOOP;

  FOR v_dead IN
    SELECT v.* FROM unnest(v_span_customers, v_span_sites, v_span_starts, v_span_ends)
      AS span(customer_id, site_id, starts, ends)
    CROSS JOIN LATERAL (
      SELECT v.id, v.site_id, v.start_time, v.end_time, v.local_date FROM visits v
      WHERE v.tenant_id = p_tenant AND v.customer_id = span.customer_id AND v.state NOT IN ('SUPERSEDED', 'RETRACTED')
        AND v.start_time >= span.starts AND v.start_time < span.ends
      OFFSET 0
    ) AS v
    WHERE v.site_id = span.site_id AND v.id <> ALL (v_kept)
  LOOP
    UPDATE visits v SET state = 'RETRACTED', update_time = now() WHERE v.tenant_id = p_tenant AND v.id = v_dead.id;
    kind := 'REMOVED';
    INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind) VALUES (p_tenant, v_dead.id, v_dead.site_id, kind);
    INSERT INTO dirty_days (tenant_id, site_id, local_date) VALUES (p_tenant, v_dead.site_id, v_dead.local_date);
    visit_id := v_dead.id;
    start_time := v_dead.start_time;
    end_time := v_dead.end_time;
    local_date := v_dead.local_date;
    RETURN NEXT;
  END LOOP;

  -- 31 days: the week and the month around either place. Two dates around a midnight of two sites are within it too.
  INSERT INTO dirty_days (tenant_id, site_id, local_date)
    SELECT DISTINCT p_tenant, v.site_id, v.local_date
    FROM unnest(v_customers, v_first_times, v_first_dates) AS was(customer_id, start_time, local_date)
    CROSS JOIN LATERAL (
      SELECT v.start_time, v.local_date FROM visits v
      WHERE v.tenant_id = p_tenant AND v.customer_id = was.customer_id AND v.state NOT IN ('SUPERSEDED', 'RETRACTED')
      ORDER BY v.start_time LIMIT 1
    ) AS is_now
    CROSS JOIN LATERAL (
      SELECT v.site_id, v.local_date FROM visits v
      WHERE v.tenant_id = p_tenant AND v.customer_id = was.customer_id AND v.state NOT IN ('SUPERSEDED', 'RETRACTED')
        AND (abs(v.local_date - was.local_date) <= 31 OR abs(v.local_date - is_now.local_date) <= 31)
      OFFSET 0
    ) AS v
    WHERE was.start_time <> is_now.start_time;
  PERFORM set_config('app.site_ids', coalesce(v_sites, ''), true);
END
$$;

CREATE FUNCTION fold_visits(p_tenant uuid, p_customer uuid, p_site uuid, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (visit_id uuid, kind text, start_time timestamptz, end_time timestamptz, local_date date)
LANGUAGE sql
AS $$
  SELECT * FROM fold_visits_batch(p_tenant, ARRAY[p_customer], ARRAY[p_site], ARRAY[p_from], ARRAY[p_to])
$$;

ALTER TABLE bucket_counts ENABLE ROW LEVEL SECURITY;

ALTER TABLE bucket_counts FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON bucket_counts FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON bucket_counts AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR scope_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR scope_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE dirty_days ENABLE ROW LEVEL SECURITY;

ALTER TABLE dirty_days FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON dirty_days FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON dirty_days AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE event_tombstones ENABLE ROW LEVEL SECURITY;

ALTER TABLE event_tombstones FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON event_tombstones FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE identity_acts ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity_acts FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON identity_acts FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE identity_applied_acts ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity_applied_acts FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON identity_applied_acts FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE identity_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity_requests FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON identity_requests FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE ingest_applied_acts ENABLE ROW LEVEL SECURITY;

ALTER TABLE ingest_applied_acts FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON ingest_applied_acts FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE ingest_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE ingest_requests FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON ingest_requests FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE match_decisions ENABLE ROW LEVEL SECURITY;

ALTER TABLE match_decisions FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON match_decisions FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON match_decisions AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE registry_acts ENABLE ROW LEVEL SECURITY;

ALTER TABLE registry_acts FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON registry_acts FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE registry_applied_acts ENABLE ROW LEVEL SECURITY;

ALTER TABLE registry_applied_acts FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON registry_applied_acts FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE registry_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE registry_requests FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON registry_requests FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE reports_applied_acts ENABLE ROW LEVEL SECURITY;

ALTER TABLE reports_applied_acts FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON reports_applied_acts FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE reports_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE reports_requests FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON reports_requests FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE sighting_moves ENABLE ROW LEVEL SECURITY;

ALTER TABLE sighting_moves FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON sighting_moves FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;

ALTER TABLE tenants FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON tenants FOR ALL USING (id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY directory ON tenants FOR SELECT TO svc_registry USING (nullif(current_setting('app.tenant_id', true), '')::uuid = '00000000-0000-0000-0000-000000000000'::uuid);

ALTER TABLE visit_feed ENABLE ROW LEVEL SECURITY;

ALTER TABLE visit_feed FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON visit_feed FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON visit_feed AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE visitor_day ENABLE ROW LEVEL SECURITY;

ALTER TABLE visitor_day FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON visitor_day FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON visitor_day AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE visits ENABLE ROW LEVEL SECURITY;

ALTER TABLE visits FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON visits FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON visits AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE audit_anchors ENABLE ROW LEVEL SECURITY;

ALTER TABLE audit_anchors FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON audit_anchors FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE audit_entries ENABLE ROW LEVEL SECURITY;

ALTER TABLE audit_entries FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON audit_entries FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY;

ALTER TABLE audit_heads FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON audit_heads FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE calibrations ENABLE ROW LEVEL SECURITY;

ALTER TABLE calibrations FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON calibrations FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE erasures ENABLE ROW LEVEL SECURITY;

ALTER TABLE erasures FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON erasures FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE exports ENABLE ROW LEVEL SECURITY;

ALTER TABLE exports FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON exports FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE gallery_revisions ENABLE ROW LEVEL SECURITY;

ALTER TABLE gallery_revisions FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON gallery_revisions FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;

ALTER TABLE jobs FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON jobs FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE rematches ENABLE ROW LEVEL SECURITY;

ALTER TABLE rematches FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON rematches FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE sites ENABLE ROW LEVEL SECURITY;

ALTER TABLE sites FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON sites FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON sites AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE staff ENABLE ROW LEVEL SECURITY;

ALTER TABLE staff FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON staff FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE token_families ENABLE ROW LEVEL SECURITY;

ALTER TABLE token_families FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON token_families FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE users ENABLE ROW LEVEL SECURITY;

ALTER TABLE users FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON users FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY sign_in ON users FOR SELECT TO footfall_signin USING (true);

ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;

ALTER TABLE webhooks FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON webhooks FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;

ALTER TABLE alerts FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON alerts FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON alerts AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE customers ENABLE ROW LEVEL SECURITY;

ALTER TABLE customers FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON customers FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY;

ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON refresh_tokens FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY sign_in ON refresh_tokens FOR SELECT TO footfall_signin USING (true);

ALTER TABLE sealed_days ENABLE ROW LEVEL SECURITY;

ALTER TABLE sealed_days FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON sealed_days FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON sealed_days AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE site_rules ENABLE ROW LEVEL SECURITY;

ALTER TABLE site_rules FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON site_rules FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON site_rules AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE staff_faces ENABLE ROW LEVEL SECURITY;

ALTER TABLE staff_faces FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON staff_faces FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE tenant_thresholds ENABLE ROW LEVEL SECURITY;

ALTER TABLE tenant_thresholds FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON tenant_thresholds FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE user_sites ENABLE ROW LEVEL SECURITY;

ALTER TABLE user_sites FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON user_sites FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON user_sites AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE webhook_deliveries ENABLE ROW LEVEL SECURITY;

ALTER TABLE webhook_deliveries FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON webhook_deliveries FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE workers ENABLE ROW LEVEL SECURITY;

ALTER TABLE workers FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON workers FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON workers AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON api_keys FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY sign_in ON api_keys FOR SELECT TO footfall_signin USING (true);

ALTER TABLE cameras ENABLE ROW LEVEL SECURITY;

ALTER TABLE cameras FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON cameras FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON cameras AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE embeddings ENABLE ROW LEVEL SECURITY;

ALTER TABLE embeddings FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON embeddings FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE merge_candidates ENABLE ROW LEVEL SECURITY;

ALTER TABLE merge_candidates FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON merge_candidates FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE merges ENABLE ROW LEVEL SECURITY;

ALTER TABLE merges FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON merges FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

ALTER TABLE worker_sessions ENABLE ROW LEVEL SECURITY;

ALTER TABLE worker_sessions FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON worker_sessions FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON worker_sessions AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE camera_reports ENABLE ROW LEVEL SECURITY;

ALTER TABLE camera_reports FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON camera_reports FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON camera_reports AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE commands ENABLE ROW LEVEL SECURITY;

ALTER TABLE commands FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON commands FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON commands AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE count_checks ENABLE ROW LEVEL SECURITY;

ALTER TABLE count_checks FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON count_checks FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON count_checks AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE coverage_slices ENABLE ROW LEVEL SECURITY;

ALTER TABLE coverage_slices FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON coverage_slices FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON coverage_slices AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE face_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE face_events FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON face_events FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON face_events AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE face_images ENABLE ROW LEVEL SECURITY;

ALTER TABLE face_images FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON face_images FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON face_images AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE lease_epochs ENABLE ROW LEVEL SECURITY;

ALTER TABLE lease_epochs FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON lease_epochs FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON lease_epochs AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE leases ENABLE ROW LEVEL SECURITY;

ALTER TABLE leases FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON leases FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON leases AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE quarantined_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE quarantined_events FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON quarantined_events FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON quarantined_events AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

ALTER TABLE face_events_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE face_events_default FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON face_events_default FOR ALL USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE POLICY site ON face_events_default AS RESTRICTIVE FOR ALL TO footfall_owner, svc_registry, svc_ingest, svc_identity, svc_reports USING ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[])) WITH CHECK ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[]) IS NULL OR site_id = ANY ((SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])::uuid[]));

GRANT SELECT ON bucket_counts TO svc_reports;

GRANT INSERT ON bucket_counts TO svc_reports;

GRANT UPDATE ON bucket_counts TO svc_reports;

GRANT DELETE ON bucket_counts TO svc_reports;

GRANT INSERT ON dirty_days TO svc_ingest;

GRANT DELETE ON dirty_days TO svc_reports;

GRANT SELECT ON event_tombstones TO svc_ingest;

GRANT INSERT ON event_tombstones TO svc_ingest;

GRANT UPDATE ON event_tombstones TO svc_ingest;

GRANT DELETE ON event_tombstones TO svc_ingest;

GRANT SELECT ON fleet_brakes TO svc_registry;

GRANT INSERT ON fleet_brakes TO svc_registry;

GRANT UPDATE ON fleet_brakes TO svc_registry;

GRANT DELETE ON fleet_brakes TO svc_registry;

GRANT SELECT ON identity_acts TO svc_identity;

GRANT INSERT ON identity_acts TO svc_identity;

GRANT UPDATE ON identity_acts TO svc_identity;

GRANT DELETE ON identity_acts TO svc_identity;

GRANT SELECT ON identity_applied_acts TO svc_identity;

GRANT INSERT ON identity_applied_acts TO svc_identity;

GRANT UPDATE ON identity_applied_acts TO svc_identity;

GRANT DELETE ON identity_applied_acts TO svc_identity;

GRANT SELECT ON identity_requests TO svc_identity;

GRANT INSERT ON identity_requests TO svc_identity;

GRANT UPDATE ON identity_requests TO svc_identity;

GRANT DELETE ON identity_requests TO svc_identity;

GRANT SELECT ON ingest_applied_acts TO svc_ingest;

GRANT INSERT ON ingest_applied_acts TO svc_ingest;

GRANT UPDATE ON ingest_applied_acts TO svc_ingest;

GRANT DELETE ON ingest_applied_acts TO svc_ingest;

GRANT SELECT ON ingest_requests TO svc_ingest;

GRANT INSERT ON ingest_requests TO svc_ingest;

GRANT UPDATE ON ingest_requests TO svc_ingest;

GRANT DELETE ON ingest_requests TO svc_ingest;

GRANT SELECT ON match_decisions TO svc_identity;

GRANT INSERT ON match_decisions TO svc_identity;

GRANT UPDATE ON match_decisions TO svc_identity;

GRANT DELETE ON match_decisions TO svc_identity;

GRANT SELECT ON registry_acts TO svc_registry;

GRANT INSERT ON registry_acts TO svc_registry;

GRANT UPDATE ON registry_acts TO svc_registry;

GRANT DELETE ON registry_acts TO svc_registry;

GRANT SELECT ON registry_applied_acts TO svc_registry;

GRANT INSERT ON registry_applied_acts TO svc_registry;

GRANT UPDATE ON registry_applied_acts TO svc_registry;

GRANT DELETE ON registry_applied_acts TO svc_registry;

GRANT SELECT ON registry_requests TO svc_registry;

GRANT INSERT ON registry_requests TO svc_registry;

GRANT UPDATE ON registry_requests TO svc_registry;

GRANT DELETE ON registry_requests TO svc_registry;

GRANT SELECT ON replicas TO svc_registry;

GRANT INSERT ON replicas TO svc_registry;

GRANT UPDATE ON replicas TO svc_registry;

GRANT DELETE ON replicas TO svc_registry;

GRANT SELECT ON reports_applied_acts TO svc_reports;

GRANT INSERT ON reports_applied_acts TO svc_reports;

GRANT UPDATE ON reports_applied_acts TO svc_reports;

GRANT DELETE ON reports_applied_acts TO svc_reports;

GRANT SELECT ON reports_requests TO svc_reports;

GRANT INSERT ON reports_requests TO svc_reports;

GRANT UPDATE ON reports_requests TO svc_reports;

GRANT DELETE ON reports_requests TO svc_reports;

GRANT SELECT ON sighting_moves TO svc_identity;

GRANT INSERT ON sighting_moves TO svc_identity;

GRANT UPDATE ON sighting_moves TO svc_identity;

GRANT DELETE ON sighting_moves TO svc_identity;

GRANT SELECT ON signing_keys TO svc_registry;

GRANT INSERT ON signing_keys TO svc_registry;

GRANT UPDATE ON signing_keys TO svc_registry;

GRANT DELETE ON signing_keys TO svc_registry;

GRANT SELECT ON spool_keys TO svc_registry;

GRANT INSERT ON spool_keys TO svc_registry;

GRANT UPDATE ON spool_keys TO svc_registry;

GRANT DELETE ON spool_keys TO svc_registry;

GRANT SELECT ON tenant_ids TO svc_registry;

GRANT INSERT ON tenant_ids TO svc_registry;

GRANT UPDATE ON tenant_ids TO svc_registry;

GRANT DELETE ON tenant_ids TO svc_registry;

GRANT SELECT ON tenants TO svc_registry;

GRANT INSERT ON tenants TO svc_registry;

GRANT UPDATE ON tenants TO svc_registry;

GRANT DELETE ON tenants TO svc_registry;

GRANT SELECT ON token_revocations TO svc_registry;

GRANT INSERT ON token_revocations TO svc_registry;

GRANT UPDATE ON token_revocations TO svc_registry;

GRANT DELETE ON token_revocations TO svc_registry;

GRANT SELECT ON visit_feed TO svc_ingest;

GRANT INSERT ON visit_feed TO svc_ingest;

GRANT UPDATE ON visit_feed TO svc_ingest;

GRANT DELETE ON visit_feed TO svc_ingest;

GRANT SELECT ON visitor_day TO svc_reports;

GRANT INSERT ON visitor_day TO svc_reports;

GRANT UPDATE ON visitor_day TO svc_reports;

GRANT DELETE ON visitor_day TO svc_reports;

GRANT SELECT ON visits TO svc_ingest;

GRANT INSERT ON visits TO svc_ingest;

GRANT UPDATE ON visits TO svc_ingest;

GRANT DELETE ON visits TO svc_ingest;

GRANT SELECT ON audit_anchors TO svc_reports;

GRANT INSERT ON audit_anchors TO svc_reports;

GRANT UPDATE ON audit_anchors TO svc_reports;

GRANT DELETE ON audit_anchors TO svc_reports;

GRANT INSERT (tenant_id, id, act_time, service, actor_kind, actor_id, actor_role, action, target_kind, target_id, site_id, outcome, error_reason, reason, request_id, remote_address, details, xid) ON audit_entries TO svc_registry;

GRANT INSERT (tenant_id, id, act_time, service, actor_kind, actor_id, actor_role, action, target_kind, target_id, site_id, outcome, error_reason, reason, request_id, remote_address, details, xid) ON audit_entries TO svc_ingest;

GRANT INSERT (tenant_id, id, act_time, service, actor_kind, actor_id, actor_role, action, target_kind, target_id, site_id, outcome, error_reason, reason, request_id, remote_address, details, xid) ON audit_entries TO svc_identity;

GRANT INSERT (tenant_id, id, act_time, service, actor_kind, actor_id, actor_role, action, target_kind, target_id, site_id, outcome, error_reason, reason, request_id, remote_address, details, xid) ON audit_entries TO svc_reports;

GRANT SELECT ON audit_entries TO svc_reports;

GRANT UPDATE (seq, previous_hash, hash, seal_time) ON audit_entries TO svc_reports;

GRANT SELECT ON audit_heads TO svc_reports;

GRANT INSERT ON audit_heads TO svc_reports;

GRANT UPDATE ON audit_heads TO svc_reports;

GRANT DELETE ON audit_heads TO svc_reports;

GRANT SELECT ON calibrations TO svc_identity;

GRANT INSERT ON calibrations TO svc_identity;

GRANT UPDATE ON calibrations TO svc_identity;

GRANT DELETE ON calibrations TO svc_identity;

GRANT SELECT ON erasures TO svc_identity;

GRANT INSERT ON erasures TO svc_identity;

GRANT UPDATE ON erasures TO svc_identity;

GRANT DELETE ON erasures TO svc_identity;

GRANT SELECT ON exports TO svc_reports;

GRANT INSERT ON exports TO svc_reports;

GRANT UPDATE ON exports TO svc_reports;

GRANT DELETE ON exports TO svc_reports;

GRANT SELECT ON gallery_revisions TO svc_identity;

GRANT INSERT ON gallery_revisions TO svc_identity;

GRANT UPDATE ON gallery_revisions TO svc_identity;

GRANT DELETE ON gallery_revisions TO svc_identity;

GRANT SELECT ON jobs TO svc_reports;

GRANT INSERT ON jobs TO svc_reports;

GRANT UPDATE ON jobs TO svc_reports;

GRANT DELETE ON jobs TO svc_reports;

GRANT SELECT ON rematches TO svc_identity;

GRANT INSERT ON rematches TO svc_identity;

GRANT UPDATE ON rematches TO svc_identity;

GRANT DELETE ON rematches TO svc_identity;

GRANT SELECT ON sites TO svc_registry;

GRANT INSERT ON sites TO svc_registry;

GRANT UPDATE ON sites TO svc_registry;

GRANT DELETE ON sites TO svc_registry;

GRANT SELECT ON staff TO svc_identity;

GRANT INSERT ON staff TO svc_identity;

GRANT UPDATE ON staff TO svc_identity;

GRANT DELETE ON staff TO svc_identity;

GRANT SELECT ON token_families TO svc_registry;

GRANT INSERT ON token_families TO svc_registry;

GRANT UPDATE ON token_families TO svc_registry;

GRANT DELETE ON token_families TO svc_registry;

GRANT SELECT ON users TO svc_registry;

GRANT INSERT ON users TO svc_registry;

GRANT UPDATE ON users TO svc_registry;

GRANT DELETE ON users TO svc_registry;

GRANT SELECT ON webhooks TO svc_ingest;

GRANT INSERT ON webhooks TO svc_ingest;

GRANT UPDATE ON webhooks TO svc_ingest;

GRANT DELETE ON webhooks TO svc_ingest;

GRANT SELECT ON alerts TO svc_reports;

GRANT INSERT ON alerts TO svc_reports;

GRANT UPDATE ON alerts TO svc_reports;

GRANT DELETE ON alerts TO svc_reports;

GRANT SELECT ON customers TO svc_identity;

GRANT INSERT ON customers TO svc_identity;

GRANT UPDATE ON customers TO svc_identity;

GRANT DELETE ON customers TO svc_identity;

GRANT SELECT ON refresh_tokens TO svc_registry;

GRANT INSERT ON refresh_tokens TO svc_registry;

GRANT UPDATE ON refresh_tokens TO svc_registry;

GRANT DELETE ON refresh_tokens TO svc_registry;

GRANT SELECT ON sealed_days TO svc_reports;

GRANT INSERT ON sealed_days TO svc_reports;

GRANT UPDATE ON sealed_days TO svc_reports;

GRANT DELETE ON sealed_days TO svc_reports;

GRANT SELECT ON site_rules TO svc_registry;

GRANT INSERT ON site_rules TO svc_registry;

GRANT UPDATE ON site_rules TO svc_registry;

GRANT DELETE ON site_rules TO svc_registry;

GRANT SELECT ON staff_faces TO svc_identity;

GRANT INSERT ON staff_faces TO svc_identity;

GRANT UPDATE ON staff_faces TO svc_identity;

GRANT DELETE ON staff_faces TO svc_identity;

GRANT SELECT ON tenant_thresholds TO svc_identity;

GRANT INSERT ON tenant_thresholds TO svc_identity;

GRANT UPDATE ON tenant_thresholds TO svc_identity;

GRANT DELETE ON tenant_thresholds TO svc_identity;

GRANT SELECT ON user_sites TO svc_registry;

GRANT INSERT ON user_sites TO svc_registry;

GRANT UPDATE ON user_sites TO svc_registry;

GRANT DELETE ON user_sites TO svc_registry;

GRANT SELECT ON webhook_deliveries TO svc_ingest;

GRANT INSERT ON webhook_deliveries TO svc_ingest;

GRANT UPDATE ON webhook_deliveries TO svc_ingest;

GRANT DELETE ON webhook_deliveries TO svc_ingest;

GRANT SELECT ON workers TO svc_registry;

GRANT INSERT ON workers TO svc_registry;

GRANT UPDATE ON workers TO svc_registry;

GRANT DELETE ON workers TO svc_registry;

GRANT SELECT ON api_keys TO svc_registry;

GRANT INSERT ON api_keys TO svc_registry;

GRANT UPDATE ON api_keys TO svc_registry;

GRANT DELETE ON api_keys TO svc_registry;

GRANT SELECT ON cameras TO svc_registry;

GRANT INSERT ON cameras TO svc_registry;

GRANT UPDATE ON cameras TO svc_registry;

GRANT DELETE ON cameras TO svc_registry;

GRANT SELECT ON embeddings TO svc_identity;

GRANT INSERT ON embeddings TO svc_identity;

GRANT UPDATE ON embeddings TO svc_identity;

GRANT DELETE ON embeddings TO svc_identity;

GRANT SELECT ON merge_candidates TO svc_identity;

GRANT INSERT ON merge_candidates TO svc_identity;

GRANT UPDATE ON merge_candidates TO svc_identity;

GRANT DELETE ON merge_candidates TO svc_identity;

GRANT SELECT ON merges TO svc_identity;

GRANT INSERT ON merges TO svc_identity;

GRANT UPDATE ON merges TO svc_identity;

GRANT DELETE ON merges TO svc_identity;

GRANT SELECT ON worker_sessions TO svc_registry;

GRANT INSERT ON worker_sessions TO svc_registry;

GRANT UPDATE ON worker_sessions TO svc_registry;

GRANT DELETE ON worker_sessions TO svc_registry;

GRANT SELECT ON camera_reports TO svc_registry;

GRANT INSERT ON camera_reports TO svc_registry;

GRANT UPDATE ON camera_reports TO svc_registry;

GRANT DELETE ON camera_reports TO svc_registry;

GRANT SELECT ON commands TO svc_registry;

GRANT INSERT ON commands TO svc_registry;

GRANT UPDATE ON commands TO svc_registry;

GRANT DELETE ON commands TO svc_registry;

GRANT SELECT ON count_checks TO svc_reports;

GRANT INSERT ON count_checks TO svc_reports;

GRANT UPDATE ON count_checks TO svc_reports;

GRANT DELETE ON count_checks TO svc_reports;

GRANT SELECT ON coverage_slices TO svc_registry;

GRANT INSERT ON coverage_slices TO svc_registry;

GRANT UPDATE ON coverage_slices TO svc_registry;

GRANT DELETE ON coverage_slices TO svc_registry;

GRANT SELECT ON face_events TO svc_ingest;

GRANT INSERT ON face_events TO svc_ingest;

GRANT UPDATE ON face_events TO svc_ingest;

GRANT DELETE ON face_events TO svc_ingest;

GRANT SELECT ON face_images TO svc_ingest;

GRANT INSERT ON face_images TO svc_ingest;

GRANT UPDATE ON face_images TO svc_ingest;

GRANT DELETE ON face_images TO svc_ingest;

GRANT SELECT ON lease_epochs TO svc_registry;

GRANT INSERT ON lease_epochs TO svc_registry;

GRANT UPDATE ON lease_epochs TO svc_registry;

GRANT DELETE ON lease_epochs TO svc_registry;

GRANT SELECT ON leases TO svc_registry;

GRANT INSERT ON leases TO svc_registry;

GRANT UPDATE ON leases TO svc_registry;

GRANT DELETE ON leases TO svc_registry;

GRANT SELECT ON quarantined_events TO svc_ingest;

GRANT INSERT ON quarantined_events TO svc_ingest;

GRANT UPDATE ON quarantined_events TO svc_ingest;

GRANT DELETE ON quarantined_events TO svc_ingest;

GRANT SELECT (tenant_id, id, site_id) ON visits TO svc_registry;

GRANT SELECT ON ingest_applied_acts TO svc_registry;

GRANT SELECT ON identity_applied_acts TO svc_registry;

GRANT SELECT ON reports_applied_acts TO svc_registry;

GRANT SELECT ON tenant_ids TO svc_ingest;

GRANT SELECT ON token_revocations TO svc_ingest;

GRANT SELECT ON tenants TO svc_ingest;

GRANT SELECT ON sites TO svc_ingest;

GRANT SELECT ON site_rules TO svc_ingest;

GRANT SELECT (tenant_id, id, site_id, role, source_uri, enabled, create_time, delete_time) ON cameras TO svc_ingest;

GRANT SELECT (tenant_id, id, site_id, any_site, state, delete_time) ON workers TO svc_ingest;

GRANT SELECT ON lease_epochs TO svc_ingest;

GRANT SELECT (tenant_id, id, staff_id, image_id, object_key, content_type, create_time) ON staff_faces TO svc_ingest;

GRANT SELECT ON identity_acts TO svc_ingest;

GRANT SELECT ON registry_acts TO svc_ingest;

GRANT SELECT ON tenant_ids TO svc_identity;

GRANT SELECT ON token_revocations TO svc_identity;

GRANT SELECT ON tenants TO svc_identity;

GRANT SELECT ON sites TO svc_identity;

GRANT SELECT ON face_events TO svc_identity;

GRANT SELECT (tenant_id, id, customer_id, site_id, start_time, best_event_id, state) ON visits TO svc_identity;

GRANT SELECT (tenant_id, id, event_id, site_id, state) ON face_images TO svc_identity;

GRANT SELECT ON ingest_applied_acts TO svc_identity;

GRANT SELECT ON reports_applied_acts TO svc_identity;

GRANT SELECT ON registry_acts TO svc_identity;

GRANT SELECT ON tenant_ids TO svc_reports;

GRANT SELECT ON token_revocations TO svc_reports;

GRANT SELECT ON tenants TO svc_reports;

GRANT SELECT ON sites TO svc_reports;

GRANT SELECT ON site_rules TO svc_reports;

GRANT SELECT (tenant_id, id, site_id, display_name, role, enabled, create_time, delete_time) ON cameras TO svc_reports;

GRANT SELECT ON camera_reports TO svc_reports;

GRANT SELECT (tenant_id, id, site_id, display_name, state, heartbeat_time, spool_oldest_time) ON workers TO svc_reports;

GRANT SELECT ON coverage_slices TO svc_reports;

GRANT SELECT ON lease_epochs TO svc_reports;

GRANT SELECT (tenant_id, id, site_id, camera_id, worker_id, lease_epoch, capture_time, track_start_time, track_end_time, quality, detection_score, face_pixels, gender, space, verdict, matched_customer_id, customer_id, staff_id, embedding_id, similarity, threshold, counts, visit_id, receive_time, clock_uncertainty_ms) ON face_events TO svc_reports;

GRANT SELECT (tenant_id, id, site_id, camera_id, reason, state, receive_time) ON quarantined_events TO svc_reports;

GRANT SELECT ON visits TO svc_reports;

GRANT SELECT ON visit_feed TO svc_reports;

GRANT SELECT ON dirty_days TO svc_reports;

GRANT SELECT ON face_images TO svc_reports;

GRANT SELECT ON customers TO svc_reports;

GRANT SELECT (tenant_id, id, display_name, effective_time, suspended, delete_time) ON staff TO svc_reports;

GRANT SELECT ON match_decisions TO svc_reports;

GRANT SELECT ON merges TO svc_reports;

GRANT SELECT ON sighting_moves TO svc_reports;

GRANT SELECT ON identity_acts TO svc_reports;

GRANT SELECT ON registry_acts TO svc_reports;

GRANT SELECT (tenant_id, id, email, password_hash) ON users TO footfall_signin;

GRANT SELECT (tenant_id, id, key_hash) ON api_keys TO footfall_signin;

GRANT SELECT (tenant_id, token_hash, family_id) ON refresh_tokens TO footfall_signin;

REVOKE EXECUTE ON FUNCTION sign_in_users(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION sign_in_users(text) TO svc_registry;

REVOKE EXECUTE ON FUNCTION sign_in_api_key(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION sign_in_api_key(uuid) TO svc_registry;

REVOKE EXECUTE ON FUNCTION sign_in_refresh_token(bytea) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION sign_in_refresh_token(bytea) TO svc_registry;

REVOKE EXECUTE ON FUNCTION ensure_face_event_partitions(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION ensure_face_event_partitions(integer) TO svc_ingest;

REVOKE EXECUTE ON FUNCTION business_day(uuid, uuid, timestamp with time zone) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION business_day(uuid, uuid, timestamp with time zone) TO svc_ingest, svc_reports;

REVOKE EXECUTE ON FUNCTION business_day_start(uuid, uuid, date) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION business_day_start(uuid, uuid, date) TO svc_ingest, svc_reports;

REVOKE EXECUTE ON FUNCTION uuid_v7(timestamp with time zone) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION uuid_v7(timestamp with time zone) TO svc_ingest;

REVOKE EXECUTE ON FUNCTION fold_visits(uuid, uuid, uuid, timestamp with time zone, timestamp with time zone) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION fold_visits(uuid, uuid, uuid, timestamp with time zone, timestamp with time zone) TO svc_ingest;

REVOKE EXECUTE ON FUNCTION fold_visits_batch(uuid, uuid[], uuid[], timestamp with time zone[], timestamp with time zone[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION fold_visits_batch(uuid, uuid[], uuid[], timestamp with time zone[], timestamp with time zone[]) TO svc_ingest;

GRANT CREATE ON SCHEMA public TO footfall_signin;

ALTER FUNCTION sign_in_users(text) OWNER TO footfall_signin;

ALTER FUNCTION sign_in_api_key(uuid) OWNER TO footfall_signin;

ALTER FUNCTION sign_in_refresh_token(bytea) OWNER TO footfall_signin;

REVOKE CREATE ON SCHEMA public FROM footfall_signin;

SELECT set_config('app.tenant_id', '00000000-0000-0000-0000-000000000000', true);

INSERT INTO tenants (id, display_name) VALUES ('00000000-0000-0000-0000-000000000000', 'Footfall');
