// The second click of a double click, after the first has closed a window over the page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isSecond, swallowSecond } from "../../../orchestrator/console/app/clicks.js";

const FIRST = { detail: 1, timeStamp: 1000, clientX: 300, clientY: 200 };

function click(change) {
  const event = new Event("click", { cancelable: true });
  for (const [name, value] of Object.entries({ ...FIRST, ...change })) Object.defineProperty(event, name, { value });
  return event;
}

test("a click is the second one if it comes soon, at the same place, from a pointer", () => {
  assert.equal(isSecond(FIRST, { ...FIRST, detail: 2, timeStamp: 1200, clientX: 303 }), true);
  assert.equal(isSecond(FIRST, { ...FIRST, timeStamp: 1900 }), false);
  assert.equal(isSecond(FIRST, { ...FIRST, timeStamp: 1200, clientY: 260 }), false);
  assert.equal(isSecond({ ...FIRST, detail: 0 }, { ...FIRST, detail: 0, timeStamp: 1200 }), false);
  assert.equal(isSecond(null, FIRST), false);
});

test("the second click does not reach what the window was over; the next click elsewhere does", () => {
  const page = new EventTarget();
  const reached = [];
  swallowSecond(FIRST, page);
  page.addEventListener("click", ({ timeStamp }) => reached.push(timeStamp));

  const second = click({ timeStamp: 1150 });
  page.dispatchEvent(second);
  assert.equal(second.defaultPrevented, true);
  page.dispatchEvent(click({ timeStamp: 1300, clientY: 500 }));
  page.dispatchEvent(click({ timeStamp: 1400 }));
  assert.deepEqual(reached, [1300, 1400]);
});
