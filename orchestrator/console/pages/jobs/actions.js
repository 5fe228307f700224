// What can be done with the jobs that are chosen, or with all that match.
import { post } from "../../app/api.js";
import { html, useEffect, useRef, useState } from "../../app/html.js";
import { lacking } from "../../app/role.js";
import { clockAhead } from "../../app/time.js";
import { count, inert } from "../../app/text.js";
import { confirm } from "../../parts/dialog.js";
import { ProblemBox } from "../../parts/problem.js";
import { ACTIONS, carryOut, fitting, outcome, pinned, question } from "./bulk.js";
import { toApi } from "./filters.js";

const NONE = "There is no such job among those that match.";
const IDLE = { action: null, done: 0, message: "", error: null };

/** A bar at the foot of the window while jobs are chosen, and until what was done has been read. */
export function Actions({ rows, selected, filters, onDone }) {
  const [all, setAll] = useState(false);
  const [state, setState] = useState(IDLE);
  const stop = useRef(false);
  useEffect(() => () => (stop.current = true), []);
  const chosen = rows.filter(({ id }) => selected.value.has(id));
  const clear = () => {
    selected.value = new Set();
    setAll(false);
  };
  const act = async (action) => {
    setState(IDLE);
    stop.current = false;
    try {
      const what = all ? { filter: matching(filters) } : { ids: fitting(action, chosen).map(({ id }) => id) };
      const matched = await countOf(action, what);
      if (!matched.matched) return setState({ ...IDLE, message: NONE });
      if (!(await confirm(question(action, matched.matched, matched.more)))) return undefined;
      setState({ ...IDLE, action });
      const total = await carryOut(what, {
        send: (body) => send(action, body),
        onProgress: ({ done }) => setState((old) => ({ ...old, done })),
        stopped: () => stop.current,
      });
      setState({ ...IDLE, message: outcome(action, total), error: total.error });
      if (!total.error) clear();
      onDone();
    } catch (error) {
      setState((old) => ({ ...old, action: null, error }));
    }
    return undefined;
  };
  if (!chosen.length && !state.message && !state.error && !state.action) return null;
  return html`<section class="bulk" aria-label="Actions on jobs">
    <${ProblemBox} error=${state.error} />
    ${state.message && html`<p role="status">${inert(state.message)} <button type="button" class="quiet" onClick=${() => setState(IDLE)}>Close</button></p>`}
    ${state.action && html`<p role="status">${count(state.done)} done… <button type="button" onClick=${() => (stop.current = true)}>Stop</button></p>`}
    ${chosen.length > 0 && !state.action && html`<div class="buttons">
      <strong>${all ? "All that match" : `${count(chosen.length)} chosen`}</strong>
      ${Object.entries(ACTIONS).map(([action, { verb, danger }]) => html`<button key=${action} type="button" class=${danger ? "danger" : ""}
        disabled=${!all && !fitting(action, chosen).length} onClick=${() => act(action)} ...${lacking(`orchestrator POST /api/v1/jobs/${action}`)}>${verb}</button>`)}
      ${!all && html`<button type="button" class="quiet" onClick=${() => setAll(true)}>Choose all that match</button>`}
      <button type="button" class="quiet" onClick=${clear}>Choose none</button>
    </div>`}
  </section>`;
}

function matching(filters) {
  const now = Date.now() + clockAhead();
  return pinned(toApi(filters, now), now);
}

/** How many jobs it is about: `{matched, more}`. */
async function countOf(action, { ids, filter }) {
  return ids ? { matched: ids.length, more: false } : send(action, { filter, dry_run: true });
}

async function send(action, body) {
  return (await post("orchestrator", `/api/v1/jobs/${action}`, { body })).data;
}
