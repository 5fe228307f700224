import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { readPairs } from "../../../orchestrator/console/app/pairs.js";
import { accept, fieldsOf, valuesOf, writePairs } from "../../../orchestrator/console/pages/run/parameters.js";
import { again, commandBody, EMPTY_COMMAND, EMPTY_PIPELINE, errorsOf, pipelineBody } from "../../../orchestrator/console/pages/run/submission.js";
import { quoted, visibleJson } from "../../../orchestrator/console/app/curl.js";
import { asCli, asCurl, splitWords } from "../../../orchestrator/console/pages/run/texts.js";

const DECLARED = {
  version: { type: "string", required: true, pattern: "v\\d+", description: "What to deploy." },
  stage: { type: "choice", choices: ["dev", "prod"], default: "dev" },
  replicas: { type: "integer", default: 2 },
  dry_run: { type: "boolean", default: false },
};

test("declared parameters become fields with their defaults and help", () => {
  const [version, stage, replicas, dryRun] = fieldsOf(DECLARED);
  assert.deepEqual([version.required, version.initial, version.help], [true, "", "What to deploy. · Matches v\\d+"]);
  assert.deepEqual([stage.choices, stage.initial], [["dev", "prod"], "dev"]);
  assert.deepEqual([replicas.initial, replicas.help], ["2", "By default 2"]);
  assert.equal(dryRun.initial, "false");
});

test("values of an earlier job fill the fields, but hidden ones", () => {
  const [version, stage] = fieldsOf(DECLARED, { version: "***", stage: "prod" });
  assert.deepEqual([version.initial, version.hidden, stage.initial], ["", true, "prod"]);
});

test("texts become values of their types, and defaults are left out", () => {
  const { params, errors } = valuesOf(fieldsOf(DECLARED), { version: "v3", replicas: " 5 ", dry_run: "true" });
  assert.deepEqual(params, { version: "v3", replicas: 5, dry_run: true });
  assert.deepEqual(errors, {});
});

test("a string whose default was taken away is empty; another empty field has its default", () => {
  const fields = fieldsOf({ a: { type: "string", default: "x" }, b: { type: "integer", default: 1 }, c: { type: "string" } });
  assert.deepEqual(valuesOf(fields, { a: "", b: "", c: "" }), { params: { a: "" }, errors: {} });
});

test("what is missing or of another type is said at its field", () => {
  const { errors } = valuesOf(fieldsOf(DECLARED), { replicas: "many", stage: "test", dry_run: "maybe" });
  assert.deepEqual(errors, {
    version: "is required", replicas: "should be a whole number", stage: "should be one of dev, prod",
    dry_run: "should be true or false",
  });
});

test("an integer beyond 53 bits goes out as the text that spells it", () => {
  assert.equal(accept({ type: "integer" }, "9007199254740993").value, "9007199254740993");
  assert.equal(accept({ type: "integer" }, "9007199254740991").value, 9007199254740991);
  assert.match(accept({ type: "integer" }, "9223372036854775808").error, /64 bits/);
  assert.match(accept({ type: "integer" }, "1.5").error, /whole number/);
  assert.equal(accept({ type: "number" }, "-1.5e3").value, -1500);
  assert.match(accept({ type: "number" }, "1e999").error, /number/);
});

test("lines of KEY=VALUE keep the value as it is", () => {
  assert.deepEqual(readPairs("A=1\n\nB= x=y "), { pairs: { A: "1", B: " x=y " } });
  assert.deepEqual(readPairs("A"), { error: "line 1 should be KEY=VALUE" });
  assert.deepEqual(readPairs("A=1\nA=2"), { error: "line 2 has A again" });
  assert.deepEqual(writePairs({ A: "1", SECRET: "***", LONG: "a\nb" }), { text: "A=1", left: ["SECRET", "LONG"] });
  assert.deepEqual(Object.entries(readPairs("__proto__=1").pairs), [["__proto__", "1"]]);
});

test("a command's body has only what differs from the defaults", () => {
  assert.deepEqual(commandBody({ ...EMPTY_COMMAND, command: "echo hi" }), { body: { command: "echo hi" }, errors: {} });
  const { body } = commandBody({
    ...EMPTY_COMMAND, command: "make", type: "bash", name: "b", priority: "high", env: "A=1", labels: "team=web",
    requires: "gpu=yes", timeout: "60", max_attempts: "3", retry_delay: "10", memory_mb: "512", concurrency_key: "k",
    when_full: "reject", run_at: "2026-11-29T12:00:00Z", retry_on_lost: "false",
  });
  assert.deepEqual(body, {
    command: "make", type: "bash", name: "b", priority: "high", env: { A: "1" }, labels: { team: "web" },
    run_at: "2026-11-29T12:00:00.000Z", concurrency_key: "k", concurrency: { limit: 1, when_full: "reject" },
    requires: { gpu: "yes" }, timeout: 60, retry: { max_attempts: 3, delay: 10 }, retry_on_lost: false,
    resources: { memory_mb: 512 },
  });
});

test("faults of a form are said at their fields", () => {
  const { errors } = commandBody({ ...EMPTY_COMMAND, timeout: "soon", max_attempts: "0", cpu_m: "1.5", env: "A" });
  assert.deepEqual(errors, {
    command: "is required", timeout: "should be a number", max_attempts: "should be at least 1",
    cpu_m: "should be a whole number", env: "line 1 should be KEY=VALUE",
  });
  assert.deepEqual(pipelineBody(EMPTY_PIPELINE, "", {}).errors, { pipeline: "is required" });
  assert.deepEqual(pipelineBody(EMPTY_PIPELINE, "p", { a: 1 }).body, { pipeline_id: "p", params: { a: 1 } });
});

test("each number outside its bounds is said at its field, all at once", () => {
  const outside = {
    timeout: "0", queue_timeout: "-5", max_attempts: "1e9", retry_delay: "86401", cpu_m: "-1", memory_mb: "1e12", gpu: "1025",
    concurrency_key: "k", concurrency_limit: "0",
  };
  assert.deepEqual(commandBody({ ...EMPTY_COMMAND, command: "true", ...outside }).errors, {
    timeout: "should be greater than 0", queue_timeout: "should be greater than 0", max_attempts: "should be at most 100",
    retry_delay: "should be at most 86400", cpu_m: "should be at least 0", memory_mb: "should be at most 100000000",
    gpu: "should be at most 1024", concurrency_limit: "should be at least 1",
  });
  const atThem = {
    timeout: "0.001", queue_timeout: "31622400", max_attempts: "100", retry_delay: "0", cpu_m: "0", gpu: "1024",
    concurrency_key: "k", concurrency_limit: "1000",
  };
  assert.deepEqual(commandBody({ ...EMPTY_COMMAND, command: "true", ...atThem }).errors, {});
});

test("a field that is not shown has no fault", () => {
  const form = { ...EMPTY_COMMAND, command: "true", retry_delay: "soon", concurrency_limit: "0" };
  assert.deepEqual(commandBody(form), { body: { command: "true" }, errors: {} });
});

const TASK = {
  name: "main", command: "make", type: "shell", env: { B: "2" }, requires: {}, working_dir: null, timeout: 60,
  queue_timeout: null, retry: { max_attempts: 3, delay: 1, factor: 2, max_delay: 3600, jitter: true, on_exit_codes: null },
  retry_on_lost: true, max_crashes: 3, resources: null, matrix: null,
};
const JOB = {
  name: "build", priority: "high", labels: { team: "web" }, params: {}, env: { A: "1", API_TOKEN: "***" },
  pipeline_id: null, concurrency_key: null, concurrency: null, tasks: [TASK],
};

test("a job of a command fills the form, and what is hidden is named", () => {
  const { kind, form, left } = again(JOB);
  assert.equal(kind, "command");
  assert.deepEqual(left, ["variable API_TOKEN"]);
  assert.deepEqual(commandBody(form).body, {
    command: "make", name: "build", priority: "high", env: { A: "1", B: "2" }, labels: { team: "web" }, timeout: 60,
    retry: { max_attempts: 3 },
  });
});

test("a command that is a list becomes the text that means the same", () => {
  assert.equal(again({ ...JOB, tasks: [{ ...TASK, command: ["echo", "it's", "a b"] }] }).form.command, `echo 'it'"'"'s' 'a b'`);
  assert.equal(again({ ...JOB, tasks: [{ ...TASK, type: "python", command: ["a = 1", "print(a)"] }] }).form.command, "a = 1\nprint(a)");
});

test("a job of a pipeline keeps its parameters and its own variables", () => {
  const job = { ...JOB, pipeline_id: "p", params: { stage: "prod", token: "***" }, env: { A: "1", LANG: "C" } };
  const { kind, form, params, left } = again(job, { env: { LANG: "C" } });
  assert.deepEqual([kind, form.env, params.stage, left], ["pipeline", "A=1", "prod", ["parameter token"]]);
  assert.equal(form.name, "build");
  assert.equal(again(job, { name: "build", env: {} }).form.name, ""); // the pipeline's, as by default
});

test("a job of a pipeline that is not stored can only be rerun as it is", () => {
  assert.equal(again({ ...JOB, tasks: [TASK, TASK] }).kind, null);
  assert.equal(again({ ...JOB, tasks: [{ ...TASK, matrix: { a: 1 } }] }).kind, null);
});

test("settings that the form has no field for are named", () => {
  const retry = { ...TASK.retry, factor: 3, on_exit_codes: [75] };
  assert.deepEqual(again({ ...JOB, env: {}, tasks: [{ ...TASK, retry }] }).left, ["retry factor", "retry on_exit_codes"]);
});

test("errors of the API come to their fields", () => {
  const problem = {
    errors: [
      { loc: ["body", "params", "version"], msg: "should match the pattern" },
      { loc: ["body", "retry", "max_attempts"], msg: "should be at most 100" },
      { loc: ["body", "labels", "a b"], msg: "is not a label's key" },
      { loc: ["body"], msg: "exactly one is needed" },
    ],
  };
  const { fields, rest } = errorsOf(problem, new Set(["params.version", "max_attempts", "labels"]));
  assert.deepEqual(fields, {
    "params.version": "should match the pattern", max_attempts: "max_attempts should be at most 100",
    labels: "a b is not a label's key",
  });
  assert.deepEqual(rest, ["exactly one is needed"]);
});

test("each error of a part comes to the field of that part", () => {
  const errors = ["delay", "max_attempts"].map((name) => ({ loc: ["body", "retry", name], msg: "is wrong" }));
  errors.push({ loc: ["body", "resources", "gpu"], msg: "is wrong" });
  const { fields } = errorsOf({ errors }, new Set(Object.keys(EMPTY_COMMAND)));
  assert.deepEqual(Object.keys(fields), ["retry_delay", "max_attempts", "gpu"]);
});

/** The words that bash makes of a text. */
function words(text) {
  const program = `for word in ${text}; do printf '%s\\0' "$word"; done`;
  return execFileSync("bash", ["--norc", "-c", program], { encoding: "utf8", env: { LC_ALL: "C.UTF-8" } }).split("\0").slice(0, -1);
}

test("a quoted word means itself to a shell, and hides nothing", () => {
  const hostile = ["it's", "\u001b9", "$(reboot)", "a\nb", "`x`", "", "\u001b[31m", "a\u202eb", "\\'", "~", "*", "!x", "\u{e0041}"];
  const text = hostile.map(quoted);
  assert.deepEqual(words(text.join(" ")), hostile);
  assert.doesNotMatch(text.join(""), /[\u0000-\u0009\u000b-\u001f\u202e]/);
});

test("curl sends the body as it is, and shows every character of it", () => {
  const body = { command: "echo 'it' -H \u202e", env: { A: "\u{e0041}" } };
  const text = asCurl("http://host:8080/sub", body, { access: true });
  const all = words(text.replaceAll("\\\n", ""));
  assert.deepEqual(JSON.parse(all.at(-2)), body);
  assert.equal(all.at(-1), "http://host:8080/sub/api/v1/jobs");
  assert.match(text, /"Authorization: Bearer \$HODEI_TOKEN"/);
  assert.doesNotMatch(visibleJson(body), /[\u202e\u{e0041}]/u);
});

test("the command line has the options of the submission", () => {
  const { text, missing } = asCli({
    command: "make all", name: "b b", env: { A: "1 2" }, labels: { team: "web" }, priority: "high", timeout: 60,
    retry: { max_attempts: 3 }, run_at: "2026-11-29T12:00:00Z",
  });
  assert.deepEqual(words(text.replaceAll("\\\n", "")), [
    "hodei", "run", "--name", "b b", "--env", "A=1 2", "--label", "team=web", "--priority", "high", "--timeout", "60",
    "--attempts", "3", "make all",
  ]);
  assert.deepEqual(missing, ["run_at"]);
});

test("a program's words are split as the worker does, and are no syntax for the shell into which they are copied", () => {
  assert.deepEqual(splitWords(`a 'b c' "d \\" \\\\ \\x" e\\ f g"h"'i' ""`), ["a", "b c", 'd " \\ \\x', "e f", "ghi", ""]);
  assert.deepEqual(splitWords("a 'b"), ["a 'b"]);
  const { text } = asCli({ command: "ls; rm -rf $HOME `id` > x", type: "exec" });
  assert.deepEqual(words(text), ["hodei", "run", "--", "ls;", "rm", "-rf", "$HOME", "`id`", ">", "x"]);
});

test("other types, and pipelines, have their own commands", () => {
  assert.match(asCli({ command: "set -u", type: "bash" }).text, /-- bash -c 'set -u'$/);
  assert.match(asCli({ command: "print(1)", type: "python" }).text, /-- python3 -c 'print\(1\)'$/);
  assert.match(asCli({ command: "ls -l", type: "exec" }).text, /-- ls -l$/);
  const { text } = asCli({ pipeline_id: "0193", params: { stage: "prod", n: 3, dry: true } });
  assert.equal(text.replaceAll(" \\\n ", ""), "hodei pipelines run 0193 --param stage=prod --param n=3 --param dry=true");
});
