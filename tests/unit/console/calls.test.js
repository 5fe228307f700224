import assert from "node:assert/strict";
import { test } from "node:test";
import { cursorOf, newKey } from "../../../orchestrator/console/app/api.js";
import { curlOf, quoted } from "../../../orchestrator/console/app/curl.js";
import { Problem, problemOf } from "../../../orchestrator/console/app/problem.js";
import { placeOf, queryText, readQuery, written } from "../../../orchestrator/console/app/router.js";
import { findPage, NAVIGATION } from "../../../orchestrator/console/app/routes.js";
import { events, parsed } from "../../../orchestrator/console/app/stream.js";

test("a call as curl is one line that a shell takes apart as it was meant", () => {
  const call = { method: "POST", url: "http://localhost:8080/api/v1/jobs?label=a%3Db&limit=2", body: { command: "echo 'it' $HOME" } };
  assert.equal(
    curlOf(call, { access: true }),
    `curl -X POST -H "Authorization: Bearer $HODEI_TOKEN" -H 'Content-Type: application/json' ` +
      `-d '{"command":"echo '\\''it'\\'' $HOME"}' 'http://localhost:8080/api/v1/jobs?label=a%3Db&limit=2'`,
  );
  assert.equal(curlOf({ method: "GET", url: "http://localhost:8080/health" }), "curl http://localhost:8080/health");
  assert.equal(quoted("$(reboot)"), "'$(reboot)'");
  assert.equal(quoted("a\u115fb"), "$'a\\u115fb'");
});

test("queries: several values, none, and what is left out", () => {
  assert.equal(queryText({ status: ["failed", "lost"], name: "", page: null, q: "a&b" }), "status=failed&status=lost&q=a%26b");
  assert.deepEqual(readQuery(new URLSearchParams("a=1&b=2&a=3")), { a: ["1", "3"], b: "2" });
  assert.equal(Object.getPrototypeOf(readQuery(new URLSearchParams("__proto__=x"))), Object.prototype);
});

test("signing in leads back to the same filters, also those of several values", () => {
  const place = { path: "/jobs", query: { label: ["a=1", "b=2"], name: "x&y" }, hash: "#L3" };
  assert.deepEqual(placeOf(written(place)), place);
  for (const text of [undefined, ["/a", "/b"], "//evil.example/", "/\\evil.example", "https://evil.example/"]) {
    assert.deepEqual(placeOf(text), { path: "/", query: {}, hash: "" });
  }
});

test("the cursor of the next page", () => {
  assert.equal(cursorOf('</api/v1/jobs?limit=2&cursor=a%3Db>; rel="next"'), "a=b");
  assert.equal(cursorOf('</api/v1/jobs>; rel="self", </api/v1/jobs?cursor=x>; rel=next'), "x");
  assert.equal(cursorOf('<?limit=2&cursor=y>; rel="next"'), "y"); // below a path
  assert.equal(cursorOf(null), null);
});

test("keys of requests are random", () => {
  assert.match(newKey(), /^[0-9a-f]{32}$/);
  assert.notEqual(newKey(), newKey());
});

test("problems name the field, whatever the answer is", async () => {
  const body = { title: "Unprocessable", detail: "wrong", errors: [{ loc: ["body", "steps", 0, "name"], msg: "is used twice" }] };
  const problem = await problemOf(new Response(JSON.stringify(body), { status: 422, headers: { "Retry-After": "3" } }));
  assert.ok(problem instanceof Problem);
  assert.deepEqual([problem.status, problem.field, problem.retryAfter, problem.offline], [422, "steps.0.name", 3, false]);
  assert.equal(problem.fieldError("steps.0.name"), "is used twice");
  for (const text of ["", "<html>", "null", "[1]"]) {
    assert.equal((await problemOf(new Response(text, { status: 502 }))).status, 502);
  }
});

test("each path has a page", () => {
  assert.deepEqual(findPage("/jobs/a%20b").params, { id: "a b" });
  assert.deepEqual(findPage("/jobs/%E0%A4%A").params, { id: "%E0%A4%A" });
  assert.equal(findPage("/jobs/").pattern, "");
  assert.equal(findPage("/jobs/1/2").pattern, "");
  for (const { path } of NAVIGATION) assert.equal(findPage(path).pattern, path);
});

test("events are read across chunks, with their ids, and comments are passed over", async () => {
  const text = ": hello\n\nid: 1\nevent: log\ndata: ä\ndata: b\n\nretry: 20\n\nid: 2\n\r\ndata\r\n\r\nid: 3\ndata: cut";
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const read = [];
  for await (const event of events(body)) read.push(event);
  assert.deepEqual(read, [
    { type: "log", data: "ä\nb", id: "1", retry: null },
    { type: "message", data: null, id: null, retry: 20 },
    { type: "message", data: null, id: "2", retry: null },
    { type: "message", data: "", id: null, retry: null },
  ]);
  assert.equal(parsed(": nothing"), null);
});
