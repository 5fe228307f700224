import assert from "node:assert/strict";
import { test } from "node:test";

import { bars, durationOf } from "../../../orchestrator/console/pages/pipelines/bars.js";
import { pipelineText } from "../../../orchestrator/console/pages/pipelines/definition.js";
import { counts, diffLines, hunks } from "../../../orchestrator/console/pages/pipelines/diff.js";
import { toYaml } from "../../../orchestrator/console/pages/pipelines/yaml.js";

const signs = { same: " ", removed: "-", added: "+" };
const unified = (before, after) => diffLines(before, after).map(({ kind, text }) => signs[kind] + text);

test("a diff has the lines of both texts, and their numbers", () => {
  const diff = diffLines("a\nb\nc\n", "a\nx\nc\nd\n");
  assert.deepEqual(diff.map(({ kind, text }) => signs[kind] + text), [" a", "-b", "+x", " c", "+d"]);
  assert.deepEqual(diff.map(({ before, after }) => [before, after]), [[1, 1], [2, null], [null, 2], [3, 3], [null, 4]]);
  assert.deepEqual(counts(diff), { added: 2, removed: 1 });
});

test("a diff is the shortest one", () => {
  const diff = unified("a\nb\nc\na\nb\nb\na", "c\nb\na\nb\na\nc");
  assert.equal(diff.filter((line) => line[0] !== " ").length, 5);
});

test("both texts can be read back from any diff", () => {
  let state = 7;
  const random = (most) => (state = (state * 1103515245 + 12345) % 2 ** 31) % most;
  for (let round = 0; round < 300; round++) {
    const text = () => Array.from({ length: random(12) }, () => "abc"[random(3)]).map((one) => `${one}\n`).join("");
    const [before, after] = [text(), text()];
    const diff = diffLines(before, after);
    const side = (kind) => diff.filter((line) => line.kind !== kind).map((line) => `${line.text}\n`).join("");
    assert.equal(side("added"), before);
    assert.equal(side("removed"), after);
  }
});

test("texts that have nothing in common are replaced, in bounded time", () => {
  const lines = (prefix) => Array.from({ length: 4000 }, (_, at) => `${prefix}${at}`).join("\n");
  const diff = diffLines(lines("a"), lines("b"));
  assert.deepEqual(counts(diff), { added: 4000, removed: 4000 });
});

test("equal lines far from a change are left out and counted", () => {
  const before = Array.from({ length: 20 }, (_, at) => `line ${at}`);
  const after = before.map((line, at) => (at === 10 ? "changed" : line));
  const shown = hunks(diffLines(before.join("\n"), after.join("\n")), 2);
  assert.deepEqual(shown[0], { kind: "skipped", count: 8 });
  assert.deepEqual(shown.at(-1), { kind: "skipped", count: 7 });
  assert.equal(shown.length, 8);
  assert.deepEqual(hunks(diffLines("a\nb", "a\nb")), []);
});

test("texts that YAML would take for something else are quoted", () => {
  const yaml = toYaml({ a: "no", b: "12:30", c: "x: y", d: "- a", e: "plain text", f: "", g: "a\u202eb", h: "# x", i: 3, j: true });
  assert.deepEqual(yaml.trimEnd().split("\n"), [
    'a: "no"', 'b: "12:30"', 'c: "x: y"', 'd: "- a"', "e: plain text", 'f: ""', 'g: "a\\u202eb"', 'h: "# x"', "i: 3", "j: true",
  ]);
});

test("scripts stand in blocks, and short lists on one line", () => {
  const yaml = toYaml({ command: "set -e\n\tmake\n", other: "a\nb", list: ["x", "z"], deep: [{ a: 1, b: { c: "d" } }, ["z"]] });
  assert.equal(yaml, "command: |\n  set -e\n  \tmake\nother: |-\n  a\n  b\nlist: [x, z]\ndeep:\n  - a: 1\n    b:\n      c: d\n  - - z\n");
});

const STEP = {
  name: "build", command: "make", type: "shell", depends_on: [], when: "on_success", if: null, allow_failure: false,
  labels: {}, env: {}, working_dir: null, timeout: null, queue_timeout: null, retry: null, retry_on_lost: true,
  max_crashes: 3, requires: {}, resources: null, matrix: null,
};
const PIPELINE = {
  id: "1", name: "nightly", description: null, status: "active", version: 2, env: {}, params: {}, timeout: null,
  cleanup_timeout: 60, concurrency_key: null, concurrency: null, created_by: null, created_at: "x", updated_by: null,
  updated_at: "x", steps: [STEP],
};

test("a pipeline's file has what differs from the defaults", () => {
  assert.equal(pipelineText(PIPELINE), "name: nightly\nsteps:\n  build:\n    command: make\n");
  const params = { stage: { type: "choice", choices: ["dev"], default: "dev", required: false, pattern: null, description: null } };
  const step = { ...STEP, name: "test", depends_on: ["build"], matrix: { os: ["a", "b"], include: [], exclude: [], max_parallel: 2, fail_fast: true } };
  const text = pipelineText({ ...PIPELINE, params, cleanup_timeout: 5, steps: [STEP, step] });
  assert.match(text, /params:\n {2}stage:\n {4}type: choice\n {4}default: dev\n {4}choices: \[dev\]\ncleanup_timeout: 5\n/);
  assert.match(text, /test:\n {4}depends_on: \[build\]\n {4}command: make\n {4}matrix:\n {6}os: \[a, b\]\n {6}max_parallel: 2\n/);
});

test("steps whose names are numbers keep their order", () => {
  const text = pipelineText({ ...PIPELINE, steps: [{ ...STEP, name: "10" }, { ...STEP, name: "2" }] });
  assert.match(text, /steps:\n {2}- name: "10"\n {4}command: make\n {2}- name: "2"\n/);
});

test("bars stand oldest first, the longest at full height, and none is invisible", () => {
  const runs = [
    { id: "3", status: "running", started_at: "2026-11-29T12:00:00Z", finished_at: null, duration: null },
    { id: "2", status: "failed", duration: 10 },
    { id: "1", status: "cancelled", duration: null, started_at: null, finished_at: null },
  ];
  const now = Date.parse("2026-11-29T12:00:05Z");
  const found = bars(runs, { width: 30, height: 40, now, places: 2 });
  assert.deepEqual(found.map(({ id }) => id), ["1", "2", "3"]);
  assert.deepEqual(found.map(({ height }) => height), [4, 40, 20]);
  assert.deepEqual(found.map(({ x, y }) => [x, y]), [[0, 36], [10, 0], [20, 20]]);
  assert.equal(bars(runs, { width: 30, height: 40, now, places: 30 })[1].x, 1);
  assert.equal(durationOf(runs[0], now), 5000);
  assert.deepEqual(bars([], { width: 30, height: 40, now }), []);
});
