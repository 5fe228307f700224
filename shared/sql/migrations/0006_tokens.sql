-- The tokens that requests may carry. The orchestrator's table has all of them; those of the other services have the
-- tokens that are to be accepted, so that they know them after a restart. Of a token's text, only the SHA-256 is kept.
create table tokens (
    hash bytea primary key,
    id uuid not null unique,
    name text not null,
    role text not null,
    created_at timestamptz not null default now(),
    created_by json,
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by json,
    last_used_at timestamptz
);
