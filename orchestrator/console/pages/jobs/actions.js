// What can be done with the jobs that are chosen, or with all that match.
import { useHere } from "../../app/here.js";
import { html, useState } from "../../app/html.js";
import { ofAction } from "../../app/problem.js";
import { lacking } from "../../app/role.js";
import { clockAhead } from "../../app/time.js";
import { count } from "../../app/text.js";
import { confirm } from "../../parts/dialog.js";
import { ProblemBox } from "../../parts/problem.js";
import { toast } from "../../parts/toast.js";
import { ACTIONS, fitting, pinned, question } from "./bulk.js";
import { ALL, chosenOf } from "./choice.js";
import { going, perform, send } from "./doing.js";
import { toApi } from "./filters.js";

const NONE = "There is no such job among those that match.";
const CHANGED = "The choice was changed meanwhile: nothing was done.";
const IDLE = { counting: false, error: null, of: null };

/** A bar at the foot of the window while jobs are chosen. `current`: whether `rows` are those of `filters`, and not of the
 * list that was shown before. `onDone` is called after an action on this list. */
export function Actions({ rows, current, choice, filters, onDone }) {
  const [state, setState] = useState(IDLE);
  const here = useHere();
  const chosen = chosenOf(choice, rows);
  if (!chosen.length) return null;
  const all = choice.value === ALL;
  const act = async (action) => {
    const of = choice.value;
    const what = all ? { filter: matching(filters) } : { ids: fitting(action, chosen).map(({ id }) => id) };
    setState({ ...IDLE, counting: true });
    let counted;
    try {
      counted = await countOf(action, what);
    } catch (error) {
      return setState({ ...IDLE, error: ofAction(error), of });
    }
    setState(IDLE);
    if (!here() || choice.peek() !== of) return toast(CHANGED);
    if (!counted.matched) return toast(NONE);
    if (!(await confirm(question(action, counted.matched, counted.more)))) return undefined;
    const { error } = await perform(action, what, counted);
    if (!error && choice.peek() === of) choice.value = new Set();
    if (here()) onDone();
    return undefined;
  };
  const busy = state.counting || going.value;
  return html`<section class="bulk" aria-label="Actions on jobs">
    <${ProblemBox} error=${state.of === choice.value ? state.error : null} />
    <div class="buttons">
      <strong>${all ? "All that match" : `${count(chosen.length)} chosen`}</strong>
      ${Object.entries(ACTIONS).map(([action, { verb, danger }]) => html`<button key=${action} type="button" class=${danger ? "danger" : ""}
        disabled=${busy || (!all && !fitting(action, chosen).length)} title=${going.value ? "Another action goes on." : undefined}
        onClick=${() => act(action)} ...${lacking(`orchestrator POST /api/v1/jobs/${action}`)}>${verb}</button>`)}
      ${!all && html`<button type="button" class="quiet" disabled=${!current} onClick=${() => (choice.value = ALL)}>Choose all that match</button>`}
      <button type="button" class="quiet" onClick=${() => (choice.value = new Set())}>Choose none</button>
    </div>
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
