// A job that events bring up to date, and what is read from it.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  addressOf, apply, asks, countsOf, isKept, needsAnswer, nextOf, selected, statusOf, stepsOf,
} from "../../../orchestrator/console/pages/job/model.js";
import { at, attempt, event, job, task } from "./job_samples.js";

const ONE = attempt("build", 1, { queued: 0, scheduled: 5, started: 10, finished: 50, status: "failed", exit_code: 75, reason: "exit_code" });
const TWO = attempt("build", 2, { queued: 60, scheduled: 70, started: 80, finished: 90 });
const RETRY = event("tasks.retrying", 51, "build", { attempt: 2, reason: "exit_code" });
const DONE = event("tasks.succeeded", 91, "build", { attempt: 2 });
const END = event("jobs.succeeded", 92, null, { created_at: at(0), started_at: at(10), finished_at: at(92) });
const ALL = [...ONE, RETRY, ...TWO, DONE, END];

test("events bring a job from its submission to its end", () => {
  const over = apply(job([task("build"), task("test")]), ALL);
  assert.equal(over.status, "succeeded");
  assert.equal(over.finished_at, at(92));
  const [build, rest] = over.tasks;
  assert.deepEqual(
    [build.status, build.attempt, build.exit_code, build.started_at, build.finished_at],
    ["succeeded", 2, 0, at(80), at(90)],
  );
  assert.deepEqual(build.executions.map((one) => [one.id, one.status, one.exit_code, one.worker_name]), [
    ["build-1", "failed", 75, "worker"],
    ["build-2", "succeeded", 0, "worker"],
  ]);
  assert.equal(rest.status, "pending");
});

test("each event shows at once", () => {
  let now = job([task("build")]);
  const seen = ALL.map((one) => {
    now = apply(now, [one]);
    return `${now.tasks[0].status} ${now.tasks[0].attempt}`;
  });
  assert.deepEqual(seen, [
    "queued 1", "scheduled 1", "running 1", "running 1", "running 1", "queued 2", "scheduled 2", "running 2", "running 2",
    "succeeded 2", "succeeded 2",
  ]);
});

test("events that an answer contains already change nothing", () => {
  const over = apply(job([task("build")]), ALL);
  assert.equal(apply(over, ALL), over);
  const second = apply(job([task("build")]), [...ONE, RETRY, ...TWO.slice(0, 3)]);
  assert.equal(apply(second, [...ONE, RETRY, ...TWO.slice(0, 3)]), second, "late events of an earlier attempt");
});

test("what an answer knows better stays", () => {
  const told = job([task("build", { status: "failed", reason: "timeout", detail: "60 s", outputs: { A: "1" } })], {
    status: "failed", finished_at: at(9),
  });
  assert.equal(apply(told, [event("tasks.failed", 9, "build", { reason: "lost" }), event("jobs.started", 1)]), told);
});

test("events of unknown tasks and types, and with names of properties, are ignored", () => {
  const before = job([task("build")]);
  const odd = [event("tasks.queued", 1, "other"), event("tasks.teleported", 1, "build"), event("__proto__", 1), event("timeline.expired", 1)];
  assert.equal(apply(before, odd), before);
});

test("a thousand tasks and their events are applied in one go", () => {
  const names = Array.from({ length: 1000 }, (_, index) => `s${index}`);
  const events = names.flatMap((name) => attempt(name, 1, { queued: 0, scheduled: 1, started: 2, finished: 3 }));
  const after = apply(job(names.map((name) => task(name))), events);
  assert.ok(after.tasks.every((one) => one.status === "running" && one.executions[0].status === "succeeded"));
});

test("a job is being stopped from its cancel on until it ends; that it is at its time limit, only an answer knows", () => {
  const stopping = apply(job([task("build")]), [event("jobs.cancel_requested", 5, null, { reason: "superseded" })]);
  assert.equal(stopping.stopping, "superseded");
  assert.equal(apply(stopping, [event("jobs.cancelled", 6, null, { finished_at: at(6) })]).stopping, null);
  assert.ok(needsAnswer(event("tasks.cancel_requested", 6, "build", { reason: "job_timeout" })));
});

test("an approval asks until it is decided, and its decision needs an answer", () => {
  const before = job([task("ask", { type: "approval", approval: { message: "?" } })]);
  const asking = apply(before, [event("tasks.approval_requested", 5, "ask")]);
  assert.ok(asks(asking.tasks[0]) && !asks(before.tasks[0]));
  assert.ok(needsAnswer(event("tasks.approved", 6, "ask")));
  assert.ok(!needsAnswer(event("executions.started", 6, "ask")));
});

const MATRIX = [0, 1, 2].map((index) =>
  task("test", { index, matrix: { n: index }, depends_on: ["build"], status: ["succeeded", "failed", "pending"][index] }));

test("the tasks of a matrix are one step, and as a whole what tells most", () => {
  const [build, group] = stepsOf(job([task("build", { status: "succeeded" }), ...MATRIX]));
  assert.deepEqual([build.name, build.matrix, build.tasks.length], ["build", false, 1]);
  assert.deepEqual([group.name, group.matrix, group.tasks.length, group.needs], ["test", true, 3, ["build"]]);
  assert.equal(statusOf(group.tasks), "failed");
  assert.equal(statusOf([{ status: "succeeded" }, { status: "pending" }]), "pending");
  assert.equal(statusOf([{ status: "skipped" }, { status: "succeeded" }]), "succeeded");
  assert.deepEqual(countsOf(group.tasks), [["failed", 1], ["pending", 1], ["succeeded", 1]]);
});

test("the page's address names a task, a whole matrix, or nothing that exists", () => {
  const tasks = [task("build"), ...MATRIX];
  const all = stepsOf(job(tasks));
  for (const one of tasks) {
    const { index, ...address } = addressOf(one);
    assert.equal(selected(all, { ...address, index: index ?? undefined }).task, one);
  }
  assert.deepEqual([selected(all, { step: "test" }).step.name, selected(all, { step: "test" }).task], ["test", null]);
  assert.equal(selected(all, { step: "test", index: "9" }).task, null);
  assert.equal(selected(all, { step: "nowhere" }), null);
  assert.equal(selected(all, { step: ["build", "test"] }), null);
  assert.equal(selected(all, {}), null);
});

test("the next failure follows the chosen task, and comes round", () => {
  const tasks = ["failed", "succeeded", "failed"].map((status, place) => task(`s${place}`, { status }));
  const failed = (one) => one.status === "failed";
  assert.equal(nextOf(tasks, -1, failed), tasks[0]);
  assert.equal(nextOf(tasks, 0, failed), tasks[2]);
  assert.equal(nextOf(tasks, 2, failed), tasks[0]);
  assert.equal(nextOf(tasks, 0, undefined, -1), tasks[2]);
  assert.equal(nextOf(tasks, -1, undefined, -1), tasks[2]);
  assert.equal(nextOf(tasks, -1, () => false), null);
  assert.equal(nextOf([], -1), null);
});

test("a rerun keeps what ended before it was made", () => {
  const rerun = job([], { rerun_of: "earlier" });
  assert.ok(isKept(rerun, task("build", { finished_at: at(-5) })));
  assert.ok(!isKept(rerun, task("build", { finished_at: at(5) })));
  assert.ok(!isKept(job([]), task("build", { finished_at: at(-5) })));
});
