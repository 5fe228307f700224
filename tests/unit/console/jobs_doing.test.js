// The action on many jobs that goes on, whoever is signed in when its batches end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { token } from "../../../orchestrator/console/app/role.js";
import { session } from "../../../orchestrator/console/app/session.js";
import { going, perform } from "../../../orchestrator/console/pages/jobs/doing.js";

/** What a batch is answered: there are five. */
const answered = (number) => JSON.stringify({ done: 100, refused: [], cursor: number < 5 ? "x" : null });

/** A page whose batches are answered; `happens(number)` is called before each answer. */
function page(context, happens) {
  const before = { document: globalThis.document, fetch: globalThis.fetch };
  const signedIn = session.value;
  let sent = 0;
  Object.assign(globalThis, {
    document: { baseURI: "http://any/" },
    fetch: async () => (happens((sent += 1)), new Response(answered(sent), { headers: { "Content-Type": "application/json" } })),
    addEventListener: () => {},
    removeEventListener: () => {},
  });
  context.after(() => {
    Object.assign(globalThis, before);
    token.value = null;
    session.value = signedIn;
  });
  session.value = "off"; // no bearer is needed
  return () => sent;
}

test("an action does not go on as another token than the one that began it", async (context) => {
  const sent = page(context, (number) => {
    assert.equal(going.value, true);
    if (number === 2) token.value = "another";
  });
  token.value = "one";
  const total = await perform("cancel", { filter: {} }, { matched: 500, more: false });
  assert.deepEqual([sent(), total.done, total.stopped, going.value], [2, 200, true, false]);
});

test("an action ends when its token signs out", async (context) => {
  const sent = page(context, () => (session.value = "none"));
  const total = await perform("cancel", { filter: {} }, { matched: 500, more: false });
  assert.deepEqual([sent(), total.stopped, going.value], [1, true, false]);
});
