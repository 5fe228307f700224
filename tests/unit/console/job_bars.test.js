// When attempts waited, were placed and ran.
import assert from "node:assert/strict";
import { test } from "node:test";

import { barsOf, extentOf, roomy, tickText, ticksOf } from "../../../orchestrator/console/pages/job/bars.js";
import { at, attempt, event, job, task } from "./job_samples.js";

const ms = (text) => Date.parse(text) - Date.parse(at(0));
/** The parts of a step's bars, in milliseconds after the job was submitted. */
function parts(of, events, id) {
  const relative = (part) => part && part.map((one) => (one === null ? null : one - Date.parse(at(0))));
  return barsOf(of, events).get(id).map(({ waiting, placed, running }) => [waiting, placed, running].map(relative));
}

test("each attempt has a bar of three parts", () => {
  const events = [
    ...attempt("build", 1, { queued: 0, scheduled: 5, started: 10, finished: 50, status: "failed", exit_code: 3, reason: "exit_code" }),
    ...attempt("build", 2, { queued: 60, scheduled: 70, started: 80, finished: 95 }),
  ];
  const done = job([task("build", { status: "succeeded", finished_at: at(95) })]);
  assert.deepEqual(parts(done, events, "task-build-0"), [
    [[0, 5], [5, 10], [10, 50]],
    [[60, 70], [70, 80], [80, 95]],
  ]);
  const [first] = barsOf(done, events).get("task-build-0");
  assert.deepEqual([first.status, first.reason, first.exit_code, first.worker], ["failed", "exit_code", 3, "worker"]);
});

test("a retry waits for its worker from the time at which it is due", () => {
  const events = [event("tasks.queued", 10, "build", { attempt: 2, run_at: at(500) })];
  assert.deepEqual(parts(job([task("build", { status: "queued" })]), events, "task-build-0"), [[[500, null], null, null]]);
});

test("what lasts has no end", () => {
  const running = job([task("build", { status: "running" })]);
  const events = attempt("build", 1, { queued: 0, scheduled: 5, started: 10, finished: 99 });
  assert.deepEqual(parts(running, events.slice(0, 1), "task-build-0"), [[[0, null], null, null]]);
  assert.deepEqual(parts(running, events.slice(0, 2), "task-build-0"), [[[0, 5], [5, null], null]]);
  assert.deepEqual(parts(running, events.slice(0, 3), "task-build-0"), [[[0, 5], [5, 10], [10, null]]]);
});

test("clocks that differ make no part negative, and leave the running time as it is", () => {
  const events = attempt("build", 1, { queued: 1000, scheduled: 900, started: 400, finished: 650 });
  const done = job([task("build", { status: "succeeded", finished_at: at(650) })]);
  assert.deepEqual(parts(done, events, "task-build-0"), [[[400, 400], [400, 400], [400, 650]]]);
  const early = attempt("build", 1, { queued: 0, scheduled: 10, started: 20, finished: 15 });
  assert.deepEqual(parts(done, early, "task-build-0"), [[[0, 10], [10, 20], [20, 20]]]);
});

test("a task that is cancelled while it waits ends there", () => {
  const events = [event("tasks.queued", 5, "build"), event("tasks.cancelled", 30, "build", { reason: "cancelled" })];
  const over = job([task("build", { status: "cancelled", finished_at: at(30) })], { finished_at: at(31) });
  assert.deepEqual(parts(over, events, "task-build-0"), [[[5, 30], null, null]]);
});

test("an execution that its worker gives back continues as another of the same attempt", () => {
  const placed = (execution, moment) =>
    event("tasks.scheduled", moment, "build", { execution_id: execution, worker_id: "w", scheduled_at: at(moment) });
  const events = [event("tasks.queued", 0, "build"), placed("one", 5), placed("two", 40),
    event("executions.started", 50, "build", { execution_id: "two", worker_id: "w", started_at: at(50) })];
  assert.deepEqual(parts(job([task("build", { status: "running" })]), events, "task-build-0"), [
    [[0, 5], [5, 40], null],
    [[40, 40], [40, 50], [50, null]],
  ]);
});

test("a lost execution ends when it was lost", () => {
  const begun = attempt("build", 1, { queued: 0, scheduled: 5, started: 10, finished: 0 }).slice(0, 3);
  const lost = event("executions.lost", 700, "build", { execution_id: "build-1", worker_id: "w", lost_at: at(690), detail: "gone" });
  const [bar] = barsOf(job([task("build")]), [...begun, lost]).get("task-build-0");
  assert.deepEqual([bar.status, bar.running.map((one) => one - Date.parse(at(0)))], ["lost", [10, 690]]);
});

test("without a timeline the task's executions are shown, and what a rerun kept is not", () => {
  const executions = [{ id: "e", attempt: 1, worker_id: "w", worker_name: null, status: "succeeded", reason: null, exit_code: 0, started_at: at(7), finished_at: at(9) }];
  const old = job([task("build", { status: "succeeded", queued_at: at(2), executions, finished_at: at(9) }), task("kept", { finished_at: at(-9) })]);
  const expired = [{ id: "0.0", type: "timeline.expired", time: at(0), data: {} }];
  assert.deepEqual(parts(old, expired, "task-build-0"), [[[2, 7], null, [7, 9]]]);
  assert.deepEqual(parts(old, expired, "task-kept-0"), []);
});

test("an approval waits from its question to its decision", () => {
  const asked = event("tasks.approval_requested", 10, "ask");
  assert.deepEqual(parts(job([task("ask", { status: "running" })]), [asked], "task-ask-0"), [[[10, null], null, null]]);
  const done = job([task("ask", { status: "succeeded", finished_at: at(99) })]);
  assert.deepEqual(parts(done, [asked, event("tasks.succeeded", 99, "ask")], "task-ask-0"), [[[10, 99], null, null]]);
});

test("the timeline reaches from the submission to the end, or to now, and never backwards", () => {
  const extent = (of, bars, now) => extentOf(of, bars, Date.parse(at(now))).map((one) => one - Date.parse(at(0)));
  assert.deepEqual(extent(job([]), new Map(), 500), [0, 500]);
  assert.deepEqual(extent(job([]), new Map(), -3000), [0, 1], "a server's clock that is ahead");
  assert.deepEqual(extent(job([], { finished_at: at(40) }), new Map([["t", [{ running: [0, Date.parse(at(60))] }]]]), 500), [0, 60]);
  assert.equal(ms(at(5)), 5);
});

test("a scale has few and round places at any length", () => {
  assert.deepEqual(ticksOf(1), [0, 1]);
  assert.deepEqual(ticksOf(5000), [0, 1000, 2000, 3000, 4000, 5000]);
  assert.deepEqual(ticksOf(95_000), [0, 30_000, 60_000, 90_000]);
  for (const span of [3, 77, 1234, 59_999, 3_600_001, 86_400_000, 4e8, 3e10]) {
    const ticks = ticksOf(span);
    assert.ok(ticks.length >= 2 && ticks.length <= 7, `${span}: ${ticks}`);
  }
});

test("ticks are told in the unit of their scale", () => {
  assert.equal(tickText(0, 10), "0");
  assert.equal(tickText(200, 900), "200 ms");
  assert.equal(tickText(5000, 20_000), "5 s");
  assert.equal(tickText(300_000, 1_200_000), "5 min");
  assert.equal(tickText(7_200_000, 40_000_000), "2 h");
  assert.equal(tickText(86_400_000, 4e8), "1 d");
});

test("a running job has room, and its scale changes seldom", () => {
  const spans = Array.from({ length: 3600 }, (_, second) => roomy(second * 1000));
  assert.ok(spans.every((room, second) => room > second * 1000));
  assert.ok(new Set(spans).size < 30);
});
