// The workers that are there, for the first page.
import { get } from "../../app/api.js";

const THERE = ["online", "draining", "unhealthy"];

/** The workers that are not offline: `{workers, more}`. Those that are may be many, and newer: they are not asked for. */
export async function workersThere({ signal }) {
  const ask = (status) => get("scheduler", "/api/v1/workers", { query: { status, limit: 100 }, signal });
  const answers = await Promise.all(THERE.map(ask));
  return { workers: answers.flatMap(({ data }) => data), more: answers.some(({ next }) => next !== null) };
}
