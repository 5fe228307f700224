// What went wrong with a call, in one form whoever refused it. Pure.

/** An error of a call. `status` is 0 and `offline` true when no answer came. `field` is the path of the first invalid
 * field, `retryAfter` the seconds that the service asked to wait, `document` what it answered. */
export class Problem extends Error {
  constructor({ status = 0, title = "", detail = "", errors = [], role = null, retryAfter = null, requestId = null, document = null }) {
    super(detail || title);
    this.name = "Problem";
    Object.assign(this, { status, title, detail, errors, role, retryAfter, requestId, document });
    this.field = errors.length ? fieldOf(errors[0]) : null;
    this.offline = status === 0;
  }

  /** The message about one field, "" if there is none: `fieldError("steps.0.name")`. */
  fieldError(path) {
    return this.errors.find((one) => fieldOf(one) === path)?.msg ?? "";
  }
}

/** What to show of a problem below its headline, once: `{detail, errors, advice}`. An error of a field is `{field, msg}`, with the
 * field as one writes it; `detail` would only repeat them. */
export function toldOf(error) {
  const errors = (error.errors ?? []).map((one) => ({ field: fieldOf(one).replace(/\.\d+$/, ""), msg: one.msg }));
  const detail = errors.length || error.offline ? "" : (error.detail ?? "");
  return { detail: detail && detail[0].toUpperCase() + detail.slice(1), errors, advice: adviceOf(error, detail) };
}

function adviceOf(error, detail) {
  if (error.offline) return "The page tries again by itself. If this lasts, look at the service's log.";
  if (error.status === 404) return "It may have been deleted, or the address is mistyped.";
  if (error.status === 401) return "Sign in again.";
  if (error.status === 403) return detail ? null : "Ask for another token.";
  if (error.status === 429) return `Try again in ${error.retryAfter ?? 1} s.`;
  if (error.status >= 500) return error.requestId ? `The service's log has it under ${error.requestId}.` : "Try again.";
  return null;
}

const PLACES = new Set(["body", "query", "path", "header"]);

function fieldOf({ loc = [] }) {
  return (PLACES.has(loc[0]) ? loc.slice(1) : loc).join(".");
}

/** The problem that an answer describes. Raises nothing: what cannot be read is told by the status alone. */
export async function problemOf(response) {
  const text = await response.text().catch(() => "");
  const document = parsed(text);
  return new Problem({
    status: response.status,
    title: document.title ?? response.statusText ?? "",
    detail: document.detail ?? "",
    errors: Array.isArray(document.errors) ? document.errors : [],
    role: document.role ?? null,
    requestId: document.request_id ?? null,
    document,
    retryAfter: Number(response.headers.get("Retry-After")) || null,
  });
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

const NAMES = { orchestrator: "orchestrator", scheduler: "scheduler", worker_manager: "worker manager" };

/** The problem that a service gave no answer. */
export function noAnswer(service) {
  const name = NAMES[service] ?? service;
  return new Problem({
    title: `The ${name} does not answer`,
    detail: `The ${name} does not answer. The page tries again by itself.`,
  });
}

/** An error as what a person asked for has to tell it. That no answer came is told there, too, since the banner of a service
 * that is away tells of the page alone, which tries again by itself. */
export function ofAction(error) {
  if (!error.offline) return error;
  return new Problem({ status: null, title: error.title, detail: "It is not known whether this was done: look before you try again." });
}
