// How a page follows a job: answers, events, and what happens when they cross.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Follower } from "../../../orchestrator/console/pages/job/following.js";
import { at, attempt, event, job, task } from "./job_samples.js";

const EVENTS = attempt("build", 1, { queued: 0, scheduled: 5, started: 10, finished: 50 }).map((one, place) => ({ ...one, id: `1.${place}` }));
const DONE = [
  { ...event("tasks.succeeded", 51, "build"), id: "2.1" },
  { ...event("jobs.succeeded", 51, null, { started_at: at(10), finished_at: at(51) }), id: "2.2" },
];

const real = { setTimeout, clearTimeout };
let now;
let timers;

beforeEach(() => {
  [now, timers] = [0, new Map()];
  globalThis.setTimeout = (call, ms) => {
    const id = Symbol("timer");
    timers.set(id, { call, due: now + ms });
    return id;
  };
  globalThis.clearTimeout = (id) => timers.delete(id);
});

afterEach(() => Object.assign(globalThis, real));

/** Let time pass. */
function tick(ms) {
  now += ms;
  for (const [id, { call, due }] of timers) {
    if (due <= now && timers.delete(id)) call();
  }
}

/** A follower of an API whose answers the test gives: `asked` has the requests for the job, `streams` the open streams. */
function followed({ events = [] } = {}) {
  const shown = { job: null, events: [], gone: false, error: null };
  const api = { asked: [], streams: [] };
  const follower = new Follower("job", (change) => Object.assign(shown, change), {
    get: (_service, path) =>
      path.endsWith("/events")
        ? Promise.resolve({ data: events })
        : new Promise((answer, refuse) => api.asked.push({ answer: (data) => answer({ data }), refuse })),
    stream: (_service, _path, options) => new Promise(() => api.streams.push(options)),
  });
  return { follower, shown, ...api };
}

const send = (stream, ...events) =>
  events.forEach(({ id, ...body }) => stream.onEvent({ id, type: body.type, data: JSON.stringify(body) }));
/** Let what was promised happen. */
const settled = () => new Promise((over) => setImmediate(over));

test("events show at once, and what they do not carry is asked for", async () => {
  const { follower, shown, asked, streams } = followed({ events: EVENTS.slice(0, 1) });
  follower.resume();
  asked[0].answer(job([task("build", { status: "queued" })]));
  await settled();
  assert.equal(shown.job.tasks[0].status, "queued");
  assert.equal(streams[0].lastEventId, "1.0");

  send(streams[0], ...EVENTS.slice(1, 3));
  tick(1000);
  assert.equal(shown.job.tasks[0].status, "running");
  assert.equal(asked.length, 1, "starts carry all that they change");

  send(streams[0], EVENTS[3], ...DONE);
  tick(60);
  assert.equal(shown.job.status, "succeeded");
  tick(1000);
  assert.equal(asked.length, 2);
  asked[1].answer(job([task("build", { status: "succeeded", outputs: { A: "1" } })], { status: "succeeded" }));
  await settled();
  assert.deepEqual(shown.job.tasks[0].outputs, { A: "1" });
  assert.deepEqual(shown.events.map(({ id }) => id), ["1.0", "1.1", "1.2", "1.3", "2.1", "2.2"]);
});

test("an answer that is older than an event that came meanwhile does not undo it", async () => {
  const { follower, shown, asked, streams } = followed();
  follower.resume();
  await settled();
  send(streams[0], ...EVENTS.slice(0, 3));
  tick(60);
  asked[0].answer(job([task("build")]));
  await settled();
  assert.equal(shown.job.tasks[0].status, "running");
});

test("a hidden page asks for nothing, and goes on after the last event that it showed", async () => {
  const { follower, shown, asked, streams } = followed();
  follower.resume();
  await settled();
  asked[0].answer(job([task("build")]));
  send(streams[0], EVENTS[0]);
  tick(60);
  send(streams[0], EVENTS[1]);
  follower.pause();
  tick(60_000);
  assert.ok(streams[0].signal.aborted);
  assert.deepEqual([asked.length, shown.events.length], [1, 1]);

  follower.resume();
  await settled();
  assert.equal(streams[1].lastEventId, "1.0", "the event that was not shown yet comes again");
  send(streams[1], EVENTS[1]);
  tick(60);
  assert.deepEqual(shown.events.map(({ id }) => id), ["1.0", "1.1"]);
});

test("a job whose events have its end is not streamed; one that is not there is gone", async () => {
  const over = followed({ events: [...EVENTS, ...DONE] });
  over.follower.resume();
  await settled();
  assert.equal(over.streams.length, 0);

  over.asked[0].refuse({ status: 404 });
  await settled();
  assert.deepEqual([over.shown.gone, over.shown.job], [true, null]);
});

test("a service that is away is asked again, with growing pauses", async () => {
  const { follower, shown, asked } = followed();
  follower.resume();
  for (const pause of [1000, 2000, 4000]) {
    asked.at(-1).refuse({ status: 0, offline: true });
    await settled();
    const before = asked.length;
    tick(pause - 1);
    assert.equal(asked.length, before);
    tick(1);
    assert.equal(asked.length, before + 1);
  }
  asked.at(-1).answer(job([task("build")]));
  await settled();
  assert.deepEqual([shown.error, shown.job.name], [null, "job"]);
  follower.pause();
});
