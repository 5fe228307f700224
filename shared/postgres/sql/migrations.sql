-- name: lock_migrations
-- Let one process at a time migrate a schema; held until its session ends.
select pg_advisory_lock(hashtextextended('hodei:migrations:' || $1::text, 0))

-- name: create_schema_statement
-- The statement that creates a schema, its name quoted by the server.
select format('create schema if not exists %I', $1::text)

-- name: schema_exists
-- Whether the schema is there already: creating one needs rights that a running service may not have.
select exists (select from pg_namespace where nspname = $1)

-- name: create_schema_migrations
-- Where it is written down what has been applied.
create table if not exists schema_migrations (
    package text not null,
    number integer not null,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now(),
    primary key (package, number)
)

-- name: applied_migrations
-- What has been applied for one package.
select number, name, checksum from schema_migrations where package = $1 order by number

-- name: record_migration
-- Write down that a migration is applied, in its own transaction.
insert into schema_migrations (package, number, name, checksum) values ($1, $2, $3, $4)
