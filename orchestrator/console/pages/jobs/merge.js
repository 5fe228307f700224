// How a page of a list follows what happens without moving a row: the rows stay where they are and change in place, and
// what came or went is counted until the reader asks for it. Pure.

/** The most rows that one request of a live page asks for: beyond it, the rows at its end no longer change. */
export const MOST = 300;

/** How many rows to ask for, so that those shown are among them although `fresh` newer ones came before. */
export function limitFor(shown, fresh, page) {
  return Math.min(MOST, Math.max(page, shown + fresh + 20));
}

/** The shown rows with what a newer answer of the same list says of them.
 *
 *  Both lists have the newest first; ids ascend with time. `more`: the answer ends before the list does, so a row that
 *  is older than its last one is unknown to it. Returns `{rows, fresh, gone}`: rows that went (deleted, or no longer
 *  matching the filters) stay, marked with `gone: true`; `fresh` is the number of rows that came, `gone` of those that
 *  went.
 */
export function merge(shown, answer, more) {
  if (!shown.length) return { rows: answer, fresh: 0, gone: 0 };
  const answered = new Map(answer.map((row) => [row.id, row]));
  const end = more && answer.length ? answer[answer.length - 1].id : "";
  const rows = shown.map((row) => answered.get(row.id) ?? (row.id < end ? row : gone(row)));
  const known = new Set(shown.map((row) => row.id));
  const last = shown[shown.length - 1].id;
  const fresh = answer.filter((row) => !known.has(row.id) && row.id > last).length;
  return { rows, fresh, gone: rows.filter((row) => row.gone).length };
}

function gone(row) {
  return row.gone ? row : { ...row, gone: true };
}

/** What the bar above the list says, or "" for no bar. */
export function news(fresh, gone, capped) {
  const came = fresh ? `${fresh}${capped ? "+" : ""} new` : "";
  const went = gone ? `${gone} no longer here` : "";
  return [came, went].filter(Boolean).join(", ");
}

/** What a screen reader says of it: that there is news, but not each number, which may change every two seconds. */
export const spoken = (text, state) => (text ? `The list has changed. ${state}` : state);
