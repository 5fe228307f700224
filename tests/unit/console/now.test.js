import assert from "node:assert/strict";
import { test } from "node:test";
import { session } from "../../../orchestrator/console/app/session.js";
import { commonest } from "../../../orchestrator/console/pages/now/waiting.js";
import { dayBefore, STEP } from "../../../orchestrator/console/pages/now/window.js";
import { workersThere } from "../../../orchestrator/console/pages/now/workers.js";
import { explained as explanationOf } from "../../../orchestrator/console/pages/queue/explained.js";
import { byNeeds, toExplain } from "../../../orchestrator/console/pages/queue/reasons.js";

const NOW = Date.parse("2026-11-29T12:00:00Z");
const task = (id, requires = {}, run_at = null) => ({ task_id: id, requires, resources: null, run_at });
const explained = (one, summary) => ({ task_id: one.task_id, summary: `waits: ${summary}`, workers: [] });

test("the commonest reason counts tasks, also those that were not asked about", () => {
  const queue = [task("a", { gpu: "yes" }), task("b"), task("c"), task("d"), task("e", {}, "2026-11-29T13:00:00Z")];
  const asked = toExplain(queue, NOW);
  const found = byNeeds(asked, asked.map((one) => explained(one, one.requires.gpu ? "no worker has a GPU" : "no slot is free")));

  assert.deepEqual(asked.map((one) => one.task_id), ["a", "b"]);
  assert.equal(commonest(queue, found, NOW), "No slot is free");
  assert.equal(commonest([], new Map(), NOW), null);
});

test("what each worker lacks is told with it", () => {
  const one = task("a");
  const workers = [...Array(2).fill({ refusal: "has no free slot" }), { refusal: "has no agent" }];
  const explanation = { ...explained(one, "none of 3 workers can take it now: 2 have no free slot"), workers };

  assert.equal(
    commonest([one], byNeeds([one], [explanation]), NOW), "None of 3 workers can take it now: 2 have no free slot, 1 has no agent",
  );

  const only = { ...explained(one, "the only worker that is online lacks the label gpu=yes"), workers: [{ refusal: "lacks the label gpu=yes" }] };
  only.others = [{ count: 2, refusal: "is offline" }];
  assert.equal(
    commonest([one], byNeeds([one], [only]), NOW), "The only worker that is online lacks the label gpu=yes; 2 are offline",
  );
});

test("a worker that is online is found behind any number that are offline", async () => {
  const fleet = [...Array(300).keys()].map((at) => ({ id: `off${at}`, status: "offline" }));
  fleet.push({ id: "old", status: "online" }, { id: "leaving", status: "draining" });
  session.value = "off";
  globalThis.document = {
    baseURI: "http://localhost:8080/",
    querySelector: () => ({ content: JSON.stringify({ scheduler: "http://localhost:8081" }) }),
  };
  globalThis.fetch = async ({ searchParams }) => {
    const wanted = searchParams.get("status");
    const found = fleet.filter(({ status }) => !wanted || status === wanted).slice(0, Number(searchParams.get("limit")));
    return new Response(JSON.stringify(found), { headers: { "Content-Type": "application/json" } });
  };

  const { workers, more } = await workersThere({});

  assert.deepEqual(workers.map(({ id }) => id), ["old", "leaving"]);
  assert.equal(more, false);
});

test("a day is counted from the beginning of a bar, and is never shorter", () => {
  assert.equal(dayBefore(Date.parse("2026-11-29T12:10:00Z")), "2026-11-28T12:00:00.000Z");
  assert.equal(dayBefore(Date.parse("2026-11-29T12:29:59.999Z")), "2026-11-28T12:00:00.000Z");
  assert.equal(dayBefore(Date.parse("2026-11-29T12:30:00Z")), "2026-11-28T12:30:00.000Z");
  assert.equal(Date.parse(dayBefore(NOW)) % (STEP * 1000), 0);
});

test("a task that is gone, or whose place is not known, has no explanation; other errors are errors", async () => {
  const answering = (status) => (globalThis.fetch = async () => new Response("{}", { status }));
  for (const status of [404, 409, 503]) {
    answering(status);
    assert.equal(await explanationOf({ task_id: "a" }), null);
  }
  answering(500);
  await assert.rejects(explanationOf({ task_id: "a" }), { status: 500 });
});
