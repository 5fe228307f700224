-- A worker says whether somebody asked it to stop: `hodei up` replaces its worker unless it was.

create or replace function worker_json(w workers) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', w.id, 'type', w.type, 'name', w.name, 'status', w.status, 'provider', w.provider,
        'labels', w.labels, 'slots', w.slots, 'pid', w.pid, 'stop_requested', w.intent, 'exit_code', w.exit_code,
        'detail', w.detail, 'created_at', rfc3339(w.created_at), 'started_at', rfc3339(w.started_at),
        'stopped_at', rfc3339(w.stopped_at)
    )::text;
