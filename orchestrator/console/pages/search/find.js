// What a search finds, at the services that have it.
import { get } from "../../app/api.js";
import { callsFor, KINDS } from "../../app/searching.js";

const MOST_PAGES = 10;

/** The hits for a text: `{text, groups: [{kind, found, more}]}`. Raises what went wrong with a service after all have answered:
 * what the others found is the error's `partial`. */
export async function find(text, signal) {
  const answers = await Promise.allSettled(KINDS.map((kind) => ofKind(text, kind, signal)));
  const groups = answers.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
  const failed = answers.find(({ status }) => status === "rejected");
  if (failed) throw Object.assign(failed.reason, { partial: { text, groups } });
  return { text, groups };
}

async function ofKind(text, kind, signal) {
  const answers = await Promise.all(
    callsFor(text, kind).map((call) => (call.ends ? ending(kind.service, call, signal) : listed(kind.service, call, signal))),
  );
  const found = new Map(answers.flatMap((one) => one.found).map((one) => [one.id, one]));
  return { kind, found: [...found.values()], more: answers.some((one) => one.more) };
}

// An id that does not exist is no hit, and no error.
async function listed(service, { path, query }, signal) {
  try {
    const { data, next } = await get(service, path, { query, signal });
    return { found: [data].flat(), more: next !== null };
  } catch (error) {
    if (error.status === 404) return { found: [], more: false };
    throw error;
  }
}

/** Those of a list whose id ends so: of the first page that has one, as far as MOST_PAGES. */
async function ending(service, { path, query, ends }, signal) {
  let cursor = null;
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    const { data, next } = await get(service, path, { query: { ...query, cursor }, signal, noted: pages === 0 });
    const found = data.filter(({ id }) => id.endsWith(ends));
    if (found.length || next === null) return { found, more: false };
    cursor = next;
  }
  return { found: [], more: false };
}
