import assert from "node:assert/strict";
import { test } from "node:test";
import { adds } from "../../../orchestrator/console/parts/status.js";

test("a reason that repeats the status is not shown", () => {
  for (const [status, reason] of [["cancelled", "cancelled"], ["timed_out", "timeout"], ["lost", "lost"], ["failed", null]]) {
    assert.equal(adds(status, reason), false, status);
  }
  for (const [status, reason] of [["failed", "timeout"], ["cancelled", "dependency_failed"], ["timed_out", "job_timeout"]]) {
    assert.equal(adds(status, reason), true, status);
  }
});
