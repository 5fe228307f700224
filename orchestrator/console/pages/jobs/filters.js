// The filters of the page Jobs: as its URL holds them, as the API takes them, and as words. Pure.

export const STATUSES = ["pending", "running", "succeeded", "failed", "cancelled"];

/** The filters that the bar has fields for, in its order. `many`: may be repeated. `pair`: KEY=VALUE. `time`: a time, or
 *  an age such as 24h. `whole`: a whole number. */
export const FIELDS = {
  status: { label: "Status", many: true },
  name: { label: "Name", hint: "nightly, or nightly* for all that begin with it" },
  pipeline: { label: "Pipeline", hint: "its id or its name" },
  label: { label: "Label", many: true, pair: true, hint: "team=web" },
  parameter: { label: "Parameter", many: true, pair: true, hint: "target=x86" },
  created_by: { label: "Started by", hint: "a token's name or id" },
  created_after: { label: "Created after", time: true, hint: "24h, 7d or 2026-11-01T09:00:00Z" },
  created_before: { label: "Created before", time: true, hint: "24h, 7d or 2026-11-01T09:00:00Z" },
  finished_after: { label: "Finished after", time: true, hint: "24h, 7d or 2026-11-01T09:00:00Z" },
  finished_before: { label: "Finished before", time: true, hint: "24h, 7d or 2026-11-01T09:00:00Z" },
  reason: { label: "Reason", hint: "exit_code, timeout, lost, …" },
  priority: { label: "Priority", hint: "low, normal, high or critical" },
  concurrency_key: { label: "Concurrency key", hint: "exactly this key" },
  pipeline_version: { label: "Pipeline version", whole: true, hint: "3" },
  schedule_id: { label: "Schedule", hint: "its id" },
  rerun_of: { label: "Rerun of", hint: "a job's id" },
  cancelled_by: { label: "Cancelled by", hint: "a token's name or id" },
};

const UNITS = { s: 1, m: 60, h: 3600, d: 86400, w: 7 * 86400 };

function texts(value) {
  const all = Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
  return all.map(String).filter((text) => text.trim() !== "");
}

/** Of a filter that the list does not have: it may come from a link that was mistyped. */
const UNKNOWN = { many: true, unknown: true };

const fieldOf = (name) => (Object.hasOwn(FIELDS, name) ? FIELDS[name] : { ...UNKNOWN, label: name });

/** The filters in a URL's query: {status: ["failed"], name: "nightly"}; without those that are not set. What the list does
 *  not know stays, so that `faultsOf` names it: to leave it out would show other jobs than were asked for. */
export function readFilters({ cursor: _page, ...query }) {
  const filters = {};
  for (const name of new Set([...Object.keys(FIELDS), ...Object.keys(query)])) {
    let found = texts(query[name]);
    if (name === "status") found = found.flatMap((text) => text.split(",")).filter((text) => text.trim() !== "");
    if (!found.length) continue;
    filters[name] = fieldOf(name).many || found.length > 1 ? [...new Set(found)] : found[0];
  }
  return filters;
}

/** The URL's whole query with these filters, on the first page. */
export function toQuery(filters) {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value?.length));
}

/** An age such as `24h` as the time that is so long ago; other text as it is. */
export function moment(text, now) {
  const age = /^\s*(\d{1,6})\s*([smhdw])\s*$/.exec(text);
  return age ? new Date(now - Number(age[1]) * UNITS[age[2]] * 1000).toISOString() : text.trim();
}

/** The filters as the list of jobs takes them. Raises Error, in words, for a value that is not of its
 *  field's form. */
export function toApi(filters, now) {
  const [fault] = faultsOf(filters);
  if (fault) throw new Error(fault);
  const query = {};
  for (const [name, value] of Object.entries(filters)) {
    const field = FIELDS[name];
    query[name] = field.time ? moment(value, now) : field.whole ? Number(value) : value;
  }
  return query;
}

/** What is wrong with the filters: a sentence for each value that the list does not take. */
export function faultsOf(filters) {
  return Object.entries(filters).flatMap(([name, value]) => {
    const field = fieldOf(name);
    const all = texts(value);
    if (field.unknown) return [`The list of jobs has no filter named ${name}`];
    if (!field.many && all.length > 1) return [`${field.label}: should be given once`];
    return all.map((text) => faultOf(field, text)).filter(Boolean).map((fault) => `${field.label}: ${fault}`);
  });
}

/** What is wrong with the text of a filter, or null. */
export function faultOf(field, text) {
  if (field === FIELDS.status && !STATUSES.includes(text)) return `${text} should be one of ${STATUSES.join(", ")}`;
  if (field.pair && !/^[^=]+=/.test(text)) return `should be KEY=VALUE, such as ${field.hint}`;
  if (field.whole && !/^\s*\d{1,9}\s*$/.test(text)) return "should be a whole number";
  if (field.time && !isMoment(moment(text, 0))) return "should be a time such as 2026-11-01T09:00:00Z, or an age such as 24h";
  return null;
}

function isMoment(text) {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text));
}

/** One chip for each value that is set: `{name, text, rest}`, where `rest` is the filters without it. A status that
 *  exists has its own button and no chip. */
export function chips(filters) {
  const found = [];
  for (const [name, value] of Object.entries(filters)) {
    for (const text of texts(value)) {
      if (name === "status" && STATUSES.includes(text)) continue;
      found.push({ name, text: `${fieldOf(name).label}: ${text}`, rest: without(filters, name, text) });
    }
  }
  return found;
}

/** The filters without this value of this name. */
export function without(filters, name, text) {
  const { [name]: value, ...rest } = filters;
  const kept = texts(value).filter((one) => one !== text);
  return kept.length ? { ...rest, [name]: kept } : rest;
}

/** The filters with a value of a name added, or set where there can be only one. */
export function adding(filters, name, text) {
  const value = text.trim();
  if (!value) return filters;
  return { ...filters, [name]: FIELDS[name].many ? [...new Set([...(filters[name] ?? []), value])] : value };
}

/** The filters in words, for a list without jobs. */
export function words(filters) {
  return Object.entries(filters)
    .flatMap(([name, value]) => texts(value).map((text) => `${fieldOf(name).label.toLowerCase()} ${text}`))
    .join(", ");
}
