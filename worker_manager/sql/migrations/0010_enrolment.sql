-- Who may speak on the bus: join tokens, workers that enrolled, read-only credentials, and keys that are revoked. None of
-- these tables has a secret: the keys are public ones.
create table join_tokens (
    id uuid primary key,
    name text not null,
    -- The public key of the NATS user that may ask for enrolment.
    user_key text not null,
    -- What its workers may be; null: anything.
    type text,
    labels jsonb,
    max_uses int not null,
    uses int not null default 0,
    created_at timestamptz not null default now(),
    created_by jsonb,
    expires_at timestamptz not null,
    revoked_at timestamptz
);

create table enrolments (
    worker_id uuid primary key,
    user_key text not null,
    name text not null,
    join_token_id uuid,
    type text,
    labels jsonb,
    enrolled_at timestamptz not null default now(),
    renewed_at timestamptz not null default now(),
    expires_at timestamptz not null,
    -- Until then the worker may ask for new credentials.
    renewable_until timestamptz not null,
    revoked_at timestamptz,
    revoked_by jsonb
);
create index enrolments_by_join_token on enrolments (join_token_id, worker_id) where join_token_id is not null;
create index enrolments_by_expiry on enrolments (expires_at) where revoked_at is null;

create table credentials (
    id uuid primary key,
    name text not null,
    user_key text not null,
    subjects jsonb not null,
    created_at timestamptz not null default now(),
    created_by jsonb,
    expires_at timestamptz,
    revoked_at timestamptz
);

-- What the servers of NATS are told to refuse. A row is no longer needed once everything that was signed for its key has
-- expired (`until`; null: never).
create table revocations (
    user_key text primary key,
    revoked_at timestamptz not null default now(),
    until timestamptz
);

create function join_token_json(t join_tokens) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', t.id, 'name', t.name, 'type', t.type, 'labels', t.labels, 'max_uses', t.max_uses, 'uses', t.uses,
        'created_at', rfc3339(t.created_at), 'created_by', t.created_by, 'expires_at', rfc3339(t.expires_at),
        'revoked_at', rfc3339(t.revoked_at)
    )::text;

create function enrolment_json(e enrolments) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', e.worker_id, 'name', e.name, 'join_token_id', e.join_token_id, 'type', e.type, 'labels', e.labels,
        'enrolled_at', rfc3339(e.enrolled_at), 'renewed_at', rfc3339(e.renewed_at),
        'expires_at', rfc3339(e.expires_at), 'revoked_at', rfc3339(e.revoked_at), 'revoked_by', e.revoked_by
    )::text;

create function credentials_json(c credentials) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', c.id, 'name', c.name, 'subjects', c.subjects, 'created_at', rfc3339(c.created_at),
        'created_by', c.created_by, 'expires_at', rfc3339(c.expires_at), 'revoked_at', rfc3339(c.revoked_at)
    )::text;
