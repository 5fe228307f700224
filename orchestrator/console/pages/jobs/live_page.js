// One page of the list of jobs that follows what happens, without moving a row.
import { get } from "../../app/api.js";
import { useRef } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { now } from "../../app/time.js";
import { limitFor, merge, MOST } from "./merge.js";

const PAGE = 50;
const NOTHING = { key: null, rows: null, fresh: 0, gone: 0, next: null, capped: false };

/** `query(now)` is the list's query at a time, and `key` changes with it. Returns `{rows, current, fresh, gone, capped,
 *  next, error, stale, refresh, renew}`: `renew` shows the list as it is now, and `current` is false while the rows are still
 *  those of another key. */
export function useLivePage(query, key) {
  const shown = useRef(NOTHING);
  const load = async ({ signal }) => {
    const before = shown.current;
    const anew = before.key !== key || !before.rows.length;
    const limit = anew ? PAGE : limitFor(before.rows.length, before.fresh, PAGE);
    const answer = await get("orchestrator", "/api/v1/jobs", { query: { ...query(now.peek()), limit }, signal });
    const more = answer.next !== null;
    const found = anew
      ? { rows: answer.data, fresh: 0, gone: 0, next: answer.next }
      : { ...merge(before.rows, answer.data, more), next: before.next };
    shown.current = { ...found, key, capped: more && limit === MOST };
    return shown.current;
  };
  const live = useLive(load, [key]);
  const renew = () => {
    shown.current = NOTHING;
    live.refresh();
  };
  const { rows, fresh, gone, next, capped } = live.data ?? NOTHING;
  return { rows, current: live.data?.key === key, fresh, gone, next, capped, error: live.error, stale: live.stale, refresh: live.refresh, renew };
}
