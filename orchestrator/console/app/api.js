// Calls of the public API: the only way in which the console learns or changes anything.
import { signal } from "@preact/signals";
import { fetched } from "./fetched.js";
import { addressOf } from "./platform.js";
import { problemOf } from "./problem.js";
import { queryText } from "./router.js";

export { away } from "./platform.js";
export { Problem } from "./problem.js";
export { stream } from "./stream.js";

/** The calls that the open page made, for "as curl": `{method, url, body, accept}`, the newest last. What is read again and
 * again is there once; an action is there as often as it was taken. */
export const calls = signal([]);
const MOST_CALLS = 30;

/** GET. The answer is `{status, data, next, headers}`: `next` is the cursor of the next page, null on the last one. With
 * `noted` false, the call is not among `calls`: another part of what was asked for before.
 * Raises a Problem. */
export const get = (service, path, options = {}) => call(service, "GET", path, options);

/** POST, with an Idempotency-Key that stays the same when the same action is tried again after no answer came. */
export async function post(service, path, { body, key, ...options } = {}) {
  const action = JSON.stringify([service, path, options.query, body]);
  const chosen = key ?? unanswered.get(action) ?? newKey();
  unanswered.set(action, chosen);
  try {
    const answer = await call(service, "POST", path, { ...options, body, key: chosen });
    unanswered.delete(action);
    return answer;
  } catch (error) {
    if (!error.offline && error.status < 500) unanswered.delete(action);
    throw error;
  }
}

export const patch = (service, path, options = {}) => call(service, "PATCH", path, options);
export const put = (service, path, options = {}) => call(service, "PUT", path, options);
export const del = (service, path, options = {}) => call(service, "DELETE", path, options);

const unanswered = new Map();

/** A key of 128 random bits. (`randomUUID` is missing on plain HTTP.) */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
}

async function call(service, method, path, { query, body, key, accept = "application/json", signal: abort, noted = true } = {}) {
  const url = addressOf(service, path);
  url.search = queryText(query);
  if (noted && !abort?.aborted) note({ method, url: url.href, body, accept });
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const init = { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: abort };
  const response = await fetched(service, url, init);
  if (!response.ok) throw await problemOf(response);
  return {
    status: response.status,
    data: await content(response),
    next: cursorOf(response.headers.get("Link")),
    headers: response.headers,
  };
}

async function content(response) {
  if (response.status === 204) return null;
  const json = (response.headers.get("Content-Type") ?? "").includes("json");
  return json ? response.json() : response.text();
}

/** The cursor in a `Link` header's `rel="next"`; null if there is none. */
export function cursorOf(link) {
  const next = (link ?? "").split(/,\s*(?=<)/).find((one) => /;\s*rel="?next"?/.test(one));
  const target = next?.match(/<([^>]*)>/)?.[1];
  return target ? new URL(target, "http://any").searchParams.get("cursor") : null;
}

function note(made) {
  const known = calls.peek();
  if (made.method === "GET" && known.some((one) => one.method === "GET" && one.url === made.url)) return;
  calls.value = [...known, made].slice(-MOST_CALLS);
}

/** Forget the calls of the page that was open before. */
export function forgetCalls() {
  calls.value = [];
}
