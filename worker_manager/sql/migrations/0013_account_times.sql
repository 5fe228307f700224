-- When the platform's account was last signed for the servers of NATS, which start with the newest that they keep: the next one
-- is newer, though the clock was set back. One row.
create table account_signings (
    single boolean primary key default true check (single),
    signed_at timestamptz not null
);
