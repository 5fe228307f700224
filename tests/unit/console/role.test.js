// What the role of a token allows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { allows, lacking, role, token } from "../../../orchestrator/console/app/role.js";
import { Actions } from "../../../orchestrator/console/pages/job/actions.js";
import { Priority } from "../../../orchestrator/console/pages/job/priority.js";

// Which role each call needs is test_roles.py's business.
const [SUBMITS, OPERATES] = ["orchestrator POST /api/v1/jobs", "scheduler POST /api/v1/schedule"];
const ADMINISTERS = "orchestrator POST /api/v1/tokens";

test("a role allows what it and those before it may; what it lacks is disabled and says which role is needed", (context) => {
  context.after(() => (role.value = null));
  role.value = "submitter";
  assert.deepEqual([SUBMITS, OPERATES, ADMINISTERS].map(allows), [true, false, false]);
  assert.deepEqual(lacking(SUBMITS), {});
  assert.equal(lacking(ADMINISTERS).disabled, true);
  assert.match(lacking(ADMINISTERS).title, /the role admin; yours has the role submitter/);
});

test("without a role that is known, nothing is disabled", () => {
  assert.equal(role.value, null);
  assert.deepEqual(lacking(ADMINISTERS), {});
});

test("a call whose role is not known is a mistake, not one that everyone may make", () => {
  assert.throws(() => allows("orchestrator POST /api/v1/job"), /No role is known/);
});

test("a viewer can neither change a job's priority nor rerun or delete it", (context) => {
  context.after(() => (role.value = null));
  const over = { id: "a", status: "succeeded", tasks: [], created_by: { id: "mine" } };
  const buttons = () => [Actions({ job: over, actions: { busy: false } })].flat(9).filter((one) => one?.type === "button");
  const running = { status: "running", priority: "low", created_by: { id: "mine" } };
  const disabled = () => [Priority({ job: running }), ...buttons()].map(({ props }) => props.disabled ?? false);
  role.value = "viewer";
  assert.deepEqual(disabled(), [true, true, true]);
  token.value = "mine";
  role.value = "submitter";
  assert.deepEqual(disabled(), [false, false, true]);
  token.value = null;
});

test("a submitter is offered to cancel and to rerun the jobs of its token, an operator those of all", (context) => {
  context.after(() => (role.value = token.value = null));
  const first = (status, created_by) =>
    [Actions({ job: { id: "a", status, tasks: [], created_by }, actions: { busy: false } })]
      .flat(9).find((one) => one?.type === "button").props.disabled ?? false;
  const offered = (status) => [{ id: "mine" }, { id: "another's" }, null].map((by) => !first(status, by));
  for (const status of ["running", "succeeded"]) {
    role.value = null;
    assert.deepEqual(offered(status), [true, true, true]);
    token.value = "mine";
    role.value = "submitter";
    assert.deepEqual(offered(status), [true, false, false]);
    role.value = "operator";
    assert.deepEqual(offered(status), [true, true, true]);
  }
});

test("a job that is being stopped, by a cancel or at its time limit, is offered to end its clean-up", () => {
  const offered = (stopping) =>
    [Actions({ job: { id: "a", status: "running", tasks: [], stopping }, actions: { busy: false } })]
      .flat(9).find((one) => one?.type === "button").props.children;
  assert.deepEqual(["cancelled", "job_timeout", null].map(offered), ["End the clean-up", "End the clean-up", "Cancel"]);
});
