// Workers, what can be done to them, and why tasks wait for them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { messageOf } from "../../../orchestrator/console/app/form.js";
import { pairs, written } from "../../../orchestrator/console/app/pairs.js";
import { byNeeds, isDelayed, MAX_EXPLAINED, needs, reason, refusals, toExplain } from "../../../orchestrator/console/pages/queue/reasons.js";
import { EMPTY, workerBody } from "../../../orchestrator/console/pages/workers/body.js";
import {
  amounts, fleetSlots, heartbeat, notListed, slots, workerActions,
} from "../../../orchestrator/console/pages/workers/fleet.js";

const NOW = Date.parse("2026-11-29T12:00:00Z");
const worker = (changes) => ({
  id: "W", status: "online", busy: 0, slots: 4, drained: false, last_heartbeat: "2026-11-29T11:59:58Z", ...changes,
});
const task = (id, changes) => ({ task_id: id, requires: {}, resources: null, run_at: null, ...changes });

test("labels are read as they are written", () => {
  assert.deepEqual(pairs("b=2, a=x=y\n\nc="), { a: "x=y", b: "2", c: "" });
  assert.deepEqual(written({ b: "2", a: "1" }), ["a=1", "b=2"]);
  assert.throws(() => pairs("=x", "labels"), { name: "TypeError", field: "labels" });
  assert.throws(() => pairs("a=1, a=2", "labels"), /a is given twice/);
  assert.throws(() => pairs("zone", "labels"), /“zone” must be written as KEY=VALUE/);
});

test("a heartbeat has an age, which a clock that is behind does not make negative", () => {
  assert.deepEqual(heartbeat(worker(), NOW, 15_000), { age: 2000, late: false });
  assert.deepEqual(heartbeat(worker(), NOW - 60_000, 15_000), { age: 0, late: false });
  assert.deepEqual(heartbeat(worker(), NOW + 8000, 15_000), { age: 10_000, late: true });
  assert.deepEqual(heartbeat(worker(), NOW + 8000, 60_000), { age: 10_000, late: false });
  assert.equal(heartbeat(worker({ status: "offline" }), NOW + 8000, 15_000).late, false);
  assert.deepEqual(heartbeat(worker({ last_heartbeat: null }), NOW, 15_000), { age: null, late: false });
});

test("slots are full at the most, and there may be none", () => {
  assert.deepEqual(slots(worker({ busy: 1 })), { busy: 1, total: 4, share: 0.25 });
  assert.equal(slots(worker({ busy: 6 })).share, 1);
  assert.equal(slots(worker({ slots: 0 })).share, 0);
  assert.deepEqual(fleetSlots([worker({ busy: 1 }), worker({ busy: 2 }), worker({ status: "offline" })]), { busy: 3, total: 8 });
});

test("a process that starts or failed is shown, unless it is a worker of the list or failed long ago", () => {
  const process = (id, status, stopped = null) => ({ id, status, created_at: "2026-11-20T00:00:00Z", stopped_at: stopped });
  const processes = [
    process("new", "starting"), process("crashed", "failed", "2026-11-29T11:00:00Z"), process("listed", "failed", "2026-11-29T11:00:00Z"),
    process("old", "failed", "2026-11-28T11:00:00Z"), process("runs", "running"), process("over", "stopped", "2026-11-29T11:00:00Z"),
  ];
  assert.deepEqual(notListed(processes, [worker({ id: "listed" })], NOW).map(({ id }) => id), ["new", "crashed"]);
});

test("amounts of resources are said in words", () => {
  assert.equal(amounts({ cpu_m: 1000, memory_mb: 512, gpu: 1 }), "1 CPU, 512 MiB, 1 GPU");
  assert.equal(amounts({ cpu_m: 2500, memory_mb: 6144, gpu: 2 }), "2.5 CPUs, 6 GiB, 2 GPUs");
  assert.equal(amounts({ cpu_m: 0, memory_mb: 0, gpu: 0 }), null);
  assert.equal(amounts(null), null);
});

test("a worker that the worker manager started is stopped, any other is removed", () => {
  const process = { status: "running", stop_requested: null };
  assert.deepEqual(workerActions(worker(), process), { drain: true, resume: false, stop: true, kill: true, remove: false });
  assert.deepEqual(workerActions(worker(), null), { drain: true, resume: false, stop: false, kill: false, remove: true });
  assert.equal(workerActions(worker({ busy: 1 }), null).remove, false);
  assert.equal(workerActions(worker({ busy: 1, status: "offline" }), null).remove, true);
  assert.equal(workerActions(worker(), { status: "stopped", stop_requested: null }).remove, true);
});

test("a worker that drains is resumed if that was ordered, and a stop that was requested can be forced", () => {
  const drained = workerActions(worker({ status: "draining", drained: true }), null);
  assert.deepEqual([drained.drain, drained.resume], [false, true]);
  const ending = workerActions(worker({ status: "draining" }), { status: "draining", stop_requested: "drain" });
  assert.deepEqual([ending.drain, ending.resume, ending.stop, ending.kill], [false, false, false, true]);
  assert.equal(workerActions(null, { status: "draining", stop_requested: "force" }).kill, false);
});

test("a worker's form with nothing in it is an empty request", () => {
  assert.deepEqual(workerBody(EMPTY), {});
  assert.deepEqual(
    workerBody({ name: " a ", type: "gpu", labels: "zone=north", slots: "2", cpu: "1.5", memory: "2048", gpu: "0" }),
    { name: "a", type: "gpu", labels: { zone: "north" }, slots: 2, capacity: { cpu_m: 1500, memory_mb: 2048, gpu: 0 } },
  );
  assert.throws(() => workerBody({ ...EMPTY, slots: "two" }), { name: "TypeError", field: "slots" });
  assert.throws(() => workerBody({ ...EMPTY, cpu: "-1" }), { name: "TypeError", field: "capacity.cpu_m" });
});

test("one task of each kind is explained, and only if it is due", () => {
  const later = task("D", { run_at: "2026-11-29T13:00:00Z" });
  const tasks = [task("A"), task("B", { requires: { gpu: "yes" } }), task("C"), later];
  assert.deepEqual(toExplain(tasks, NOW).map(({ task_id: id }) => id), ["A", "B"]);
  assert.equal(isDelayed(later, NOW), true);
  assert.equal(isDelayed(later, NOW + 3_600_000), false);
  const many = Array.from({ length: 50 }, (_, at) => task(`T${at}`, { requires: { at: String(at) } }));
  assert.equal(toExplain(many, NOW).length, MAX_EXPLAINED);
});

test("the order of labels and absent resources make no other kind", () => {
  assert.equal(needs(task("A", { requires: { a: "1", b: "2" } })), needs(task("B", { requires: { b: "2", a: "1" } })));
  assert.equal(needs(task("A")), needs(task("B", { resources: { cpu_m: 0, memory_mb: 0, gpu: 0 } })));
  assert.notEqual(needs(task("A")), needs(task("B", { resources: { cpu_m: 1, memory_mb: 0, gpu: 0 } })));
});

test("tasks of one kind share their reason, apart from their places", () => {
  const full = {
    task_id: "A", summary: "waits: none of 3 workers that are online can take it now: 2 have no free slot",
    workers: [
      { fits: false, refusal: "lacks the label gpu=yes" },
      { fits: false, refusal: "has no free slot: 8 placed, 8 slots" },
      { fits: false, refusal: "has no free slot: 2 placed, 2 slots" },
    ],
    others: [{ count: 1, refusal: "is offline" }],
  };
  const tasks = [task("A"), task("C"), task("D", { requires: { gpu: "yes" } })];
  const explained = byNeeds([tasks[0], tasks[2]], [full, null]);
  const text = "None of 3 workers that are online can take it now: 2 have no free slot";
  assert.deepEqual(reason(tasks[0], explained, NOW), { text, refusals: ["1 lacks the label gpu=yes", "1 is offline"] });
  assert.deepEqual(reason(tasks[1], explained, NOW).text, text);
  assert.deepEqual(reason(tasks[2], explained, NOW), { text: null, refusals: [] });
  assert.deepEqual(refusals({ workers: [] }), []);
  const others = [{ count: 5, refusal: "is offline" }, { count: 2, refusal: "is draining and accepts no new work" }, { count: 1, refusal: null }];
  assert.deepEqual(refusals({ workers: [], others }), ["2 are draining and accept no new work", "5 are offline"]);
});

test("what the summary says of all workers is not repeated", () => {
  const lacks = { fits: false, refusal: "lacks the label gpu=yes" };
  const all = { task_id: "A", summary: "waits: every worker lacks the label gpu=yes", workers: [lacks, lacks], others: [] };
  const explained = byNeeds([task("A")], [all]);
  assert.deepEqual(reason(task("A"), explained, NOW), { text: "Every worker lacks the label gpu=yes", refusals: [] });
});

test("a task behind one that fits waits for its turn", () => {
  const fits = { task_id: "A", summary: "is next and about to be placed", workers: [{ fits: true, refusal: null }], others: [] };
  const explained = byNeeds([task("A")], [fits]);
  assert.equal(reason(task("A"), explained, NOW).text, "Is next and about to be placed");
  assert.equal(reason(task("C"), explained, NOW).text, "Waits behind earlier tasks");
  assert.equal(reason(task("E", { run_at: "2026-11-29T13:00:00Z" }), explained, NOW).text, "Not due yet");
});

test("an error of a service or of the form itself is shown at its field", () => {
  const refused = { field: "labels.a", errors: [{ loc: ["body", "labels", "a"], msg: "too long" }, { loc: ["body", "slots"], msg: "no" }] };
  assert.equal(messageOf(refused, "labels"), "too long");
  assert.equal(messageOf(refused, "slot"), "");
  assert.equal(messageOf(Object.assign(new TypeError("not a number"), { field: "slots" }), "slots"), "not a number");
  assert.equal(messageOf(null, "slots"), "");
});
