// The action on many jobs that goes on, at most one. It outlives the page Jobs; a message over every page tells how far it is,
// can stop it, and tells at the end what was done and what is left.
import { post } from "../../app/api.js";
import { signal } from "../../app/html.js";
import { ofAction } from "../../app/problem.js";
import { token } from "../../app/role.js";
import { session } from "../../app/session.js";
import { lasting, toast } from "../../parts/toast.js";
import { carryOut, outcome, progress } from "./bulk.js";

/** Whether an action goes on. */
export const going = signal(false);

/** Carry an action out. `counted`: how many jobs it is about, `{matched, more}`. It ends early when the
 * person signs out, or in with another token. Returns the total, as `carryOut` does. */
export const perform = (action, chosen, counted) => goOn(action, chosen, counted, NOTHING, lasting({ text: progress(action, NOTHING, counted) }));

const NOTHING = { done: 0, refused: 0 };

/** Go on after what was done `before`, and tell of it in a message, which `change` changes. */
async function goOn(action, chosen, counted, before, change) {
  const by = token.peek();
  let stopped = false;
  let total = before;
  const tell = () => change({
    text: progress(action, total, counted), goesOn: true, button: stopped ? STOPPING : { word: "Stop", onClick: stop },
  });
  const stop = () => {
    stopped = true;
    tell();
  };
  tell();
  going.value = true;
  addEventListener("beforeunload", askFirst);
  try {
    total = await carryOut(chosen, {
      send: (body) => send(action, body),
      onProgress: (now) => {
        total = now;
        tell();
      },
      before,
      stopped: () => stopped || session.peek() === "none" || (by !== null && token.peek() !== by),
    });
  } finally {
    going.value = false;
    removeEventListener("beforeunload", askFirst);
  }
  const resume = () => {
    if (!going.peek() && token.peek() === by) goOn(action, chosen, counted, total, change);
    else toast(going.peek() ? "Another action goes on: wait for its end." : "Another token began this: choose the jobs again.");
  };
  change({
    text: outcome(action, total, counted), error: total.error && ofAction(total.error),
    button: total.rest && { word: "Go on with the rest", onClick: resume },
  });
  return total;
}

const STOPPING = { word: "Stopping…", disabled: true };

/** One batch of an action, or with `dry_run` the number of its jobs. */
export async function send(action, body) {
  return (await post("orchestrator", `/api/v1/jobs/${action}`, { body })).data;
}

/** Before the tab is closed or loaded anew, which would end the action, the browser asks. */
function askFirst(event) {
  event.preventDefault();
}
