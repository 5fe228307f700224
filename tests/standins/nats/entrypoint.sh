#!/bin/sh
# Arguments alone are the server's.
set -e
case "$1" in -*) set -- nats-server "$@" ;; esac
exec "$@"
