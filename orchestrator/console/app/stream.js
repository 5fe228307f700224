// Server-sent events by `fetch`, which can send the session's bearer; `EventSource` cannot.
import { fetched } from "./fetched.js";
import { addressOf } from "./platform.js";
import { problemOf } from "./problem.js";
import { queryText } from "./router.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
const LONGEST_EVENT = 16 * 1024 * 1024;

/** Read a stream until it ends, and open it again where it was cut off. `onEvent({type, data, id})` is called with each
 * event, `onState` with "open", "waiting" (for another attempt) and, at last, "ended" or the Problem with which the
 * service refused. The stream has ended when an event of the type `end` came, or `signal` is aborted. */
export async function stream(service, path, { query, lastEventId = null, onEvent, onState, signal }) {
  let last = lastEventId;
  let pause = FIRST_PAUSE;
  while (!signal?.aborted) {
    try {
      const response = await opened(service, path, { query, last, signal });
      onState?.("open");
      for await (const event of events(response.body)) {
        if (event.id !== null) last = event.id;
        if (event.retry !== null) pause = Math.min(event.retry, LONGEST_PAUSE);
        else pause = FIRST_PAUSE;
        if (event.data !== null) onEvent({ type: event.type, data: event.data, id: last });
        if (event.type === "end") return onState?.("ended");
      }
    } catch (error) {
      if (signal?.aborted) return undefined;
      if (error.status >= 400 && error.status < 500 && error.status !== 429) return onState?.(error);
      if (error.retryAfter) pause = Math.max(pause, error.retryAfter * 1000);
    }
    onState?.("waiting");
    await paused(pause, signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
  return undefined;
}

async function opened(service, path, { query, last, signal }) {
  const url = addressOf(service, path);
  url.search = queryText(query);
  const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
  const response = await fetched(service, url, { method: "GET", headers, signal, cache: "no-store" });
  if (!response.ok) throw await problemOf(response);
  return response;
}

function paused(ms, signal) {
  return new Promise((over) => {
    const timer = setTimeout(over, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), over()), { once: true });
  });
}

/** The events of a body whose lines end with LF or CRLF, each `{type, data, id, retry}`; what an event does not have is null. */
export async function* events(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest = (rest + decoder.decode(value, { stream: true })).replaceAll("\r\n", "\n");
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      if (rest.length > LONGEST_EVENT) throw new Error("an event of the stream is longer than any that a service sends");
      for (const block of blocks) {
        const event = parsed(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => null); // it may be broken already, which the caller knows
  }
}

/** One event's lines; null for a comment alone. */
export function parsed(block) {
  const event = { type: "message", data: null, id: null, retry: null };
  let any = false;
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at === 0 || line === "") continue;
    const field = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    any = true;
    if (field === "data") event.data = event.data === null ? value : `${event.data}\n${value}`;
    else if (field === "event") event.type = value;
    else if (field === "id") event.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) event.retry = Number(value);
  }
  return any ? event : null;
}
