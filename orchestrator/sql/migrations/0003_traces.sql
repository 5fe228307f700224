-- The trace in which a job was submitted (W3C trace context): what happens to the job at any later time belongs to it.
alter table jobs add column traceparent text, add column tracestate text;
