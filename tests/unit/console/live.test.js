// Data that is loaded again and again: until the page is gone, and after an error.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Watch } from "../../../orchestrator/console/app/live.js";
import { noAnswer, Problem } from "../../../orchestrator/console/app/problem.js";

const tab = new EventTarget();
tab.visibilityState = "visible";
globalThis.document = tab;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

/** Let what was loaded arrive. */
const arrived = () => new Promise((done) => setImmediate(done));

/** A watch whose loads give these answers, an error among them is raised; `heard` has what the page was given. */
function watched(answers, every) {
  const made = { loads: 0, heard: [] };
  const load = async () => {
    const answer = answers[Math.min(made.loads, answers.length - 1)];
    made.loads += 1;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  made.watch = new Watch(load, every, (change) => made.heard.push(change));
  return made;
}

test("a watch that was stopped loads no more, whoever asks", async () => {
  const made = watched(["a"], 2000);
  await made.watch.run();
  made.watch.stop();

  await made.watch.run(); // an action that was answered after its page was left
  document.dispatchEvent(new Event("visibilitychange"));
  mock.timers.tick(100_000);
  await arrived();

  assert.equal(made.loads, 1);
  assert.equal(made.heard.length, 1);
});

test("a load that was going when its page was left is not planned again", async () => {
  const made = watched(["a"], 2000);
  const going = made.watch.run();
  made.watch.stop();
  await going;
  mock.timers.tick(100_000);
  await arrived();

  assert.equal(made.loads, 1);
  assert.deepEqual(made.heard, []);
});

test("what is loaded once is tried again until an answer comes", async () => {
  const made = watched([noAnswer("scheduler"), new Problem({ status: 503 }), new Problem({ status: 429 }), "there"], 0);
  await made.watch.run();
  for (let times = 0; times < 10; times++) {
    mock.timers.tick(30_000);
    await arrived();
  }
  made.watch.stop();

  assert.equal(made.loads, 4);
  assert.deepEqual(made.heard.at(-1), { data: "there", error: null, loading: false });
});

test("what is loaded once is not tried again when the answer would be the same", async () => {
  for (const error of [new Problem({ status: 404 }), new Problem({ status: 403 }), new TypeError("wrong")]) {
    const made = watched([error], 0);
    await made.watch.run();
    mock.timers.tick(100_000);
    await arrived();
    made.watch.stop();

    assert.equal(made.loads, 1);
  }
});

test("what one of two services answered is shown until the other does", async () => {
  const made = watched([Object.assign(noAnswer("scheduler"), { partial: "half" }), "all"], 0);
  await made.watch.run();
  mock.timers.tick(30_000);
  await arrived();
  made.watch.stop();

  assert.deepEqual(made.heard.map(({ data }) => data), ["half", "all"]);
});
