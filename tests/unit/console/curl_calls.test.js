// Which calls of a page "As curl" shows.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { calls, forgetCalls, get, post } from "../../../orchestrator/console/app/api.js";
import { session } from "../../../orchestrator/console/app/session.js";

globalThis.document = { baseURI: "http://localhost:8080/" };
session.value = "off";
beforeEach(() => {
  forgetCalls();
  globalThis.fetch = async (_url, { signal }) => {
    signal?.throwIfAborted();
    return new Response("{}", { headers: { "Content-Type": "application/json" } });
  };
});

const shown = () => calls.value.map(({ method, body }) => [method, body]);

test("an action is shown beside its dry run, and each time that it was taken", async () => {
  const filter = { status: "running" };
  await post("orchestrator", "/api/v1/jobs/cancel", { body: { filter, dry_run: true } });
  await post("orchestrator", "/api/v1/jobs/cancel", { body: { filter } });
  await post("orchestrator", "/api/v1/jobs/cancel", { body: { filter } });

  assert.deepEqual(shown(), [["POST", { filter, dry_run: true }], ["POST", { filter }], ["POST", { filter }]]);
});

test("what is read again and again is shown once", async () => {
  for (let times = 0; times < 3; times++) await get("orchestrator", "/api/v1/jobs");
  await get("orchestrator", "/api/v1/jobs", { query: { name: "a" } });

  assert.deepEqual(calls.value.map(({ url }) => url), ["http://localhost:8080/api/v1/jobs", "http://localhost:8080/api/v1/jobs?name=a"]);
});

test("a call that a page gave up before it was made is not shown", async () => {
  const left = AbortSignal.abort();

  await assert.rejects(get("orchestrator", "/api/v1/jobs", { signal: left }), { name: "AbortError" });
  assert.deepEqual(shown(), []);
});
