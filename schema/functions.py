"""Functions in the database, other than the fold: sign-in before the tenant is known, and the months of face_events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schema.ingest import face_events
from schema.roles import SIGN_IN, SIGN_IN_FUNCTIONS, policy_statements

# SECURITY DEFINER, owned by footfall_signin. A fixed search_path, so that nobody can put another `users` in front. They
# answer what is needed to check a secret; the rest is read under the tenant's policy once the secret was right.
_SIGN_IN: Final = """
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
"""

_PARTITIONS: Final = """
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
@POLICIES@
    v_made := v_made + 1;
  END LOOP;
  RETURN v_made;
END
$$;
"""


def statements() -> Iterator[str]:
    """The functions, made by footfall_owner."""
    yield _SIGN_IN.strip()
    yield _PARTITIONS.strip().replace("@POLICIES@", "\n".join(_execute_policies()))


def handover_statements() -> Iterator[str]:
    """Gives the sign-in functions to footfall_signin: after their grants, which only an owner can make."""
    # To be given a function, a role must be allowed to create one: for just as long as that takes.
    yield f"GRANT CREATE ON SCHEMA public TO {SIGN_IN};"
    for function in SIGN_IN_FUNCTIONS:
        yield f"ALTER FUNCTION {function} OWNER TO {SIGN_IN};"
    yield f"REVOKE CREATE ON SCHEMA public FROM {SIGN_IN};"


def _execute_policies() -> Iterator[str]:
    for statement in policy_statements(face_events, "public.@NAME@"):
        literal = statement.replace("%", "%%").replace("@NAME@", "%I").replace("'", "''")
        yield f"    EXECUTE format('{literal}', v_name);"
