-- Browser sessions, of which the cookie's SHA-256 is kept, and the public keys that verify their bearers.
create table sessions (
    hash bytea primary key,
    id uuid not null,
    token_id uuid not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz
);
create index sessions_by_token on sessions (token_id);
create index sessions_by_end on sessions (ended_at) where ended_at is not null;
create index sessions_by_id on sessions (id);
create table session_keys (
    id bytea primary key,
    public_key bytea not null,
    expires_at timestamptz not null
);
