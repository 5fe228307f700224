import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addressOf, attemptsOf, executionToShow, lanesOf, MOST_LANES, opensAtEnd, taskNamed, taskToShow, titleOf,
} from "../../../orchestrator/console/parts/log/choose.js"; // prettier-ignore

const task = (name, status, more = {}) => ({
  id: name, name, status, index: null, matrix: null, allow_failure: false, executions: [{ id: `${name}-1`, attempt: 1, status }], ...more,
}); // prettier-ignore

test("the task that failed is shown first, else one that runs, else the last", () => {
  const [ok, fails, runs] = [task("a", "succeeded"), task("b", "failed"), task("c", "running")];
  assert.equal(taskToShow([ok, fails, runs]), fails);
  assert.equal(taskToShow([ok, runs, task("d", "pending", { executions: [] })]), runs);
  assert.equal(taskToShow([ok, task("e", "succeeded"), task("d", "skipped", { executions: [] })]).name, "e");
  assert.equal(taskToShow([task("b", "failed", { allow_failure: true }), ok]), ok);
});

test("a task is named by its step and its place in the matrix", () => {
  const tasks = [0, 1].map((index) => task("test", "failed", { id: `t${index}`, index, matrix: { os: "linux", python: `3.${index}` } }));
  assert.equal(taskNamed(tasks, "test", "1").id, "t1");
  assert.equal(taskNamed(tasks, "test").id, "t0");
  assert.equal(taskNamed(tasks, "other"), undefined);
  assert.equal(taskNamed(tasks, undefined), undefined);
  assert.equal(titleOf(tasks[1]), "test (linux, 3.1)");
  assert.deepEqual(addressOf(tasks[1], 2), { step: "test", index: 1, attempt: 2, lanes: null });
});

test("the newest attempt is shown, and of an attempt the execution that went on with it", () => {
  const executions = [{ id: "x", attempt: 1 }, { id: "z", attempt: 2 }, { id: "y", attempt: 1 }];
  assert.deepEqual(attemptsOf({ executions }).map((one) => one.id), ["y", "z"]);
  assert.equal(executionToShow({ executions }).id, "z");
  assert.equal(executionToShow({ executions }, "1").id, "y");
  assert.equal(executionToShow({ executions }, "9").id, "z");
  assert.equal(executionToShow({ executions: [] }), undefined);
});

test("a log opens at its end unless the command succeeded", () => {
  assert.deepEqual(["running", "failed", "succeeded"].map((status) => opensAtEnd({ status })), [true, true, false]);
});

test("lanes are bounded, and those that run or failed have one", () => {
  const tasks = Array.from({ length: 30 }, (_, at) => task(`t${at}`, at === 29 ? "failed" : "succeeded"));
  const lanes = lanesOf(tasks);
  assert.equal(lanes.length, MOST_LANES);
  assert.deepEqual([lanes[0].name, lanes.at(-1).name], ["t0", "t29"]);
  assert.deepEqual(lanesOf([task("a", "pending", { executions: [] }), task("b", "running")]).map((one) => one.name), ["b"]);
});
