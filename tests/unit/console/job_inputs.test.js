// The inputs of an approval.
import assert from "node:assert/strict";
import { test } from "node:test";

import { controlOf, givenOf, helpOf, initialOf } from "../../../orchestrator/console/pages/job/inputs.js";

const INPUTS = {
  version: { type: "string", required: true, default: null, choices: null, pattern: "v\\d+", description: "What to deploy." },
  replicas: { type: "integer", required: false, default: 2, choices: null },
  stage: { type: "choice", required: false, default: null, choices: ["dev", "prod"] },
  dry_run: { type: "boolean", required: false, default: true, choices: null },
};

test("an input is entered as its type asks for", () => {
  assert.deepEqual(Object.values(INPUTS).map(controlOf), ["text", "number", "select", "checkbox"]);
  assert.equal(helpOf(INPUTS.version), "What to deploy. Must match v\\d+");
  assert.equal(helpOf(INPUTS.replicas), "A whole number.");
});

test("the form begins with the defaults, and leaves out what was left empty", () => {
  const values = initialOf(INPUTS);
  assert.deepEqual(values, { version: "", replicas: "2", stage: "", dry_run: true });
  assert.deepEqual(givenOf(INPUTS, { ...values, version: "v1", replicas: "3", dry_run: false }), {
    version: "v1", replicas: "3", dry_run: false,
  });
  assert.deepEqual(givenOf(INPUTS, values), { version: "", replicas: "2", dry_run: true }, "the API refuses what is required");
});
