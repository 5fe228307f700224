// What is shown of a problem.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noAnswer, ofAction, Problem, toldOf } from "../../../orchestrator/console/app/problem.js";

test("an error of a field is told once, with the field as one writes it", () => {
  const detail = "query.label.0: should be KEY=VALUE";
  const told = toldOf(new Problem({ status: 422, detail, errors: [{ loc: ["query", "label", 0], msg: "should be KEY=VALUE" }] }));
  assert.deepEqual(told, { detail: "", errors: [{ field: "label", msg: "should be KEY=VALUE" }], advice: null });
  const nested = new Problem({ status: 422, errors: [{ loc: ["body", "steps", 0, "name"], msg: "is missing" }] });
  assert.equal(toldOf(nested).errors[0].field, "steps.0.name");
});

test("a role that is not enough is told once", () => {
  const detail = "this needs the role admin; the token has the role submitter";
  const told = toldOf(new Problem({ status: 403, detail, role: "admin" }));
  assert.deepEqual(told, { detail: "This needs the role admin; the token has the role submitter", errors: [], advice: null });
});

test("what no detail says is advice", () => {
  assert.match(toldOf(new Problem({ status: 403 })).advice, /another token/);
  assert.deepEqual([toldOf(noAnswer("scheduler")).detail, toldOf(new Error("x")).detail], ["", ""]);
  assert.match(toldOf(noAnswer("scheduler")).advice, /tries again/);
});

test("that no answer came to an action is told beside it, and not that the page tries again", () => {
  const told = ofAction(noAnswer("scheduler"));
  assert.deepEqual([told.offline, told.title], [false, "The scheduler does not answer"]); // a box hides what is offline
  assert.match(toldOf(told).detail, /not known whether this was done/);
  assert.equal(toldOf(told).advice, null);
  const refused = new Problem({ status: 409 });
  assert.equal(ofAction(refused), refused);
});
