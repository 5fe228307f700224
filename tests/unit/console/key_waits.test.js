// Jobs that wait for a concurrency key.
import assert from "node:assert/strict";
import { test } from "node:test";

import { pieces } from "../../../orchestrator/console/pages/job/key_wait.js";
import { STATUS } from "../../../orchestrator/console/pages/jobs/columns.js";
import { summed } from "../../../orchestrator/console/pages/queue/keys.js";

const holder = (id, name) => ({ job_id: id, job_name: name, since: "2026-11-29T12:00:00Z" });

test("the jobs that hold the key are found in the sentence, whatever their names are", () => {
  const [one, other] = [holder("a1", "key1"), holder("b2", "job a1 (key1)")];
  const lets = "waits: the concurrency key 'k' lets at most 2 jobs at a time run, and ";
  const summary = `${lets}job a1 (key1) and job b2 (job a1 (key1)) hold it; it is the next one`;

  assert.deepEqual(pieces({ summary, holders: [one, other] }), [lets, one, " and ", other, " hold it; it is the next one"]);
});

test("a sentence without holders stays as it is", () => {
  const summary = "waits for the concurrency key 'k', and is about to begin";
  assert.deepEqual(pieces({ summary, holders: [holder("a1", "key1")] }), [summary]);
});

test("a list says that a job waits for its key", () => {
  const text = (node) => (Array.isArray(node) ? node.map(text).join("") : node?.props ? text(node.props.children) : (node || ""));
  const cell = STATUS.cell({ status: "pending", reason: null, waiting_for: "the concurrency key k" });
  assert.match(text(cell), /waits for the concurrency key k/);
});

test("the keys for which most jobs wait are named, and those for which none waits are not counted", () => {
  const key = (name, waiting) => ({ key: name, waiting, holding: 1, holders: [] });
  const found = summed([key("a", 0), key("b", 1), key("c", 5), key("d", 2), key("e", 1)]);

  assert.deepEqual(found.named.map((one) => one.key), ["c", "d", "b"]);
  assert.deepEqual([found.jobs, found.others], [9, 1]);
  assert.equal(summed([key("a", 0)]).jobs, 0);
});
