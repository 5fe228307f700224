-- name: lock_migrations
-- Lock a schema so that one process at a time migrates it. The lock is held until the session ends.
select pg_advisory_lock(hashtextextended('hodei:migrations:' || $1::text, 0))

-- name: create_schema_statement
-- The statement that creates a schema, with its name quoted by the server.
select format('create schema if not exists %I', $1::text)

-- name: schema_exists
-- Whether the schema exists: creating one needs rights that a running service may not have.
select exists (select from pg_namespace where nspname = $1)

-- name: create_schema_migrations
-- Create the table of applied migrations.
create table if not exists schema_migrations (
    package text not null,
    number integer not null,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now(),
    primary key (package, number)
)

-- name: applied_migrations
-- The applied migrations of one package.
select number, name, checksum from schema_migrations where package = $1 order by number

-- name: record_migration
-- Record an applied migration, in the migration's own transaction.
insert into schema_migrations (package, number, name, checksum) values ($1, $2, $3, $4)
