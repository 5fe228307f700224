#!/bin/bash
# What the official image promises and we use: the first start makes the role, its password and the database and runs
# the scripts of /docker-entrypoint-initdb.d, out of sight of TCP; no start without a password; the server runs as
# postgres.
set -euo pipefail

case "${1:-}" in -*) set -- postgres "$@" ;; esac
[ "${1:-}" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
  install -d -o postgres -g postgres -m 700 "$PGDATA"
  chown postgres /var/lib/postgresql /dev/stdout /dev/stderr 2>/dev/null || true
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  [ -n "${POSTGRES_PASSWORD:-}" ] || { echo "POSTGRES_PASSWORD is not set" >&2; exit 1; }
  # shellcheck disable=SC2086  # several arguments in one variable, as in the official image
  initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
    --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 \
    --locale=C ${POSTGRES_INITDB_ARGS:-} >/dev/null
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  sed -i "s/^#listen_addresses = .*/listen_addresses = '*'/" "$PGDATA/postgresql.conf"
  pg_ctl -D "$PGDATA" -w -s -o "-c listen_addresses= -c unix_socket_directories=/var/run/postgresql" start
  export PGHOST=/var/run/postgresql PGUSER=$user
  [ "$database" = postgres ] || psql -qX -v ON_ERROR_STOP=1 -d postgres -v name="$database" \
    <<<'CREATE DATABASE :"name";'
  for script in /docker-entrypoint-initdb.d/*; do
    case "$script" in
      *.sql) psql -qX -v ON_ERROR_STOP=1 -d "$database" -f "$script" ;;
      *.sh) . "$script" ;;
    esac
  done
  unset PGHOST PGUSER
  pg_ctl -D "$PGDATA" -w -s -m fast stop
  echo "PostgreSQL init process complete; ready for start up."
fi
# This server was built without TLS: with ssl=on, a front before its socket speaks it.
set -- "$@" -c unix_socket_directories=/var/run/postgresql,/tmp # its own clients look in /tmp for it
plain=()
certificate= key=
for given in "$@"; do
  case "$given" in
    ssl=on) plain+=(listen_addresses=) ;;
    ssl_cert_file=*) certificate=${given#*=} plain+=(ssl=off) ;;
    ssl_key_file=*) key=${given#*=} plain+=(ssl=off) ;;
    *) plain+=("$given") ;;
  esac
done
[ -n "$certificate" ] || exec "$@"
python3 /usr/local/lib/tls_front.py 5432 /var/run/postgresql/.s.PGSQL.5432 "$certificate" "$key" &
exec "${plain[@]}"
