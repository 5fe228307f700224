// What a schedule runs and when, in words; and the request that its form stands for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EMPTY, scheduleBody } from "../../../orchestrator/console/pages/schedules/body.js";
import {
  actions, called, cause, commandLine, onOutage, onOverlap, outcomeDetail, runs, wallClock,
} from "../../../orchestrator/console/pages/schedules/words.js";

test("a command that is a list is quoted as a shell would need it", () => {
  assert.equal(commandLine("echo *"), "echo *");
  assert.equal(commandLine(["echo", "it's", "*", "a/b:c=1"]), String.raw`echo 'it'\''s' '*' a/b:c=1`);
});

test("a schedule runs a command, a pipeline or a job", () => {
  const none = { command: null, pipeline_id: null, job_id: null };
  assert.deepEqual(runs({ ...none, command: "true" }), { kind: "command", id: null, text: "true", to: null });
  assert.equal(runs({ ...none, pipeline_id: "P" }).to, "/pipelines/P");
  assert.equal(runs({ ...none, job_id: "J" }).to, "/jobs/J");
  assert.equal(called({ ...none, name: "nightly", job_id: "J" }), "nightly");
  assert.equal(called({ ...none, name: null, command: ["ls"] }), "ls");
  assert.equal(called({ ...none, name: null, job_id: "J" }), "a job again");
  assert.equal(called({ ...none, name: null, pipeline_id: "P" }), "a pipeline");
});

test("a due time is shown by the clock of its own zone", () => {
  assert.equal(wallClock("2026-11-28T02:30:00+01:00"), "2026-11-28 02:30 +01:00");
  assert.equal(wallClock("2026-11-28T02:30:07.500000-08:00"), "2026-11-28 02:30:07 -08:00");
});

test("policies are said in words, and are absent for a schedule that fires once", () => {
  assert.equal(onOverlap({ overlap: "skip" }), "There is no new job");
  assert.equal(onOverlap({ overlap: null }), null);
  assert.equal(onOverlap({ overlap: "of a later version" }), "of a later version");
  assert.equal(onOutage({ catch_up: "all", catch_up_limit: 7 }), "It fires for the last 7 of them");
  assert.equal(onOutage({ catch_up: null }), null);
});

test("a firing says why it fired and why there is no job", () => {
  assert.equal(cause({ kind: "trigger", triggered_by: { name: "ana" } }), "Run now, by ana");
  assert.equal(cause({ kind: "time", triggered_by: null }), "Its time came");
  assert.equal(outcomeDetail({ count: 1, more: false, detail: null, reason: "pipeline_archived" }), "pipeline archived");
  assert.equal(
    outcomeDetail({ count: 1000, more: true, detail: null, reason: "outage" }), "more than 1000 due times: outage",
  );
  assert.equal(outcomeDetail({ count: 1, more: false, detail: null, reason: null }), null);
});

test("what can be done depends on the status", () => {
  assert.deepEqual(actions("scheduled"), { pause: true, resume: false });
  assert.deepEqual(actions("paused"), { pause: false, resume: true });
  assert.deepEqual(actions("failed"), { pause: true, resume: true });
  assert.deepEqual(actions("completed"), { pause: false, resume: false });
});

test("a form with its defaults is a short request", () => {
  assert.deepEqual(scheduleBody({ ...EMPTY, command: "true", cron: " @daily " }),
    { command: "true", cron: "@daily", timezone: "UTC" });
  assert.deepEqual(scheduleBody({ ...EMPTY, runs: "job", job_id: " J ", fires: "now" }), { job_id: "J" });
  assert.deepEqual(scheduleBody({ ...EMPTY, command: "true", fires: "now", params: "of=no effect" }), { command: "true" });
});

test("a form with everything is a request with everything", () => {
  const form = {
    ...EMPTY, name: "sync", runs: "pipeline", pipeline_id: "P", fires: "every", every: "1.5", unit: "3600",
    overlap: "skip", catch_up: "none", jitter: "30", params: "targets=x86,arm64\nmsg=hello, world=1", priority: "high",
    labels: "team=web\nurl=a=b", paused: true,
  };
  assert.deepEqual(scheduleBody(form), {
    pipeline_id: "P", every: 5400, overlap: "skip", catch_up: "none", jitter: 30, paused: true,
    params: { targets: "x86,arm64", msg: "hello, world=1" }, name: "sync", priority: "high", labels: { team: "web", url: "a=b" },
  });
});

test("a parameter that is given twice is refused, not the last one taken", () => {
  const form = { ...EMPTY, runs: "job", job_id: "J", fires: "now", params: "a=1\na=2" };
  assert.throws(() => scheduleBody(form), { name: "TypeError", field: "params", message: "line 2 has a again" });
});

test("a time without recurrence has no policies", () => {
  const body = scheduleBody({ ...EMPTY, command: "true", fires: "at", run_at: "2030-01-01T06:00", overlap: "skip" });
  assert.deepEqual(body, { command: "true", run_at: new Date("2030-01-01T06:00").toISOString() });
});

test("what cannot be read names its field", () => {
  const wrong = (changes, field) =>
    assert.throws(() => scheduleBody({ ...EMPTY, command: "true", ...changes }), (error) => error.field === field);
  wrong({ fires: "every", every: "soon" }, "every");
  wrong({ fires: "every", every: " " }, "every");
  wrong({ fires: "at", run_at: "" }, "run_at");
  wrong({ cron: "@daily", jitter: "x" }, "jitter");
  wrong({ cron: "@daily", labels: "team" }, "labels");
});
