import assert from "node:assert/strict";
import { test } from "node:test";
import { callsFor, isId, KINDS } from "../../../orchestrator/console/app/searching.js";
import { session } from "../../../orchestrator/console/app/session.js";
import { find } from "../../../orchestrator/console/pages/search/find.js";

const [jobs, pipelines] = KINDS;

test("an id asks for that one thing", () => {
  const id = "0192F0C1-2345-7ABC-8DEF-0123456789AB";
  assert.deepEqual(callsFor(` ${id} `, jobs), [{ path: `/api/v1/jobs/${id.toLowerCase()}`, query: {} }]);
  assert.ok(isId(id));
});

test("eight hexadecimal digits are a short id, and may be the beginning of a name", () => {
  assert.deepEqual(
    callsFor("456789AB", jobs).map(({ query }) => query),
    [{ short_id: "456789ab", limit: 10 }, { name: "456789AB*", limit: 10 }],
  );
  assert.deepEqual(callsFor("456789AB", pipelines), [
    { path: "/api/v1/pipelines", query: { limit: 1000 }, ends: "456789ab" },
    { path: "/api/v1/pipelines", query: { name: "456789AB*", limit: 10 } },
  ]);
});

test("anything else is the beginning of a name", () => {
  assert.deepEqual(callsFor("night*", pipelines), [{ path: "/api/v1/pipelines", query: { name: "night*", limit: 10 } }]);
  assert.deepEqual(callsFor("  ", jobs), []);
  assert.ok(!isId("nightly"));
});

session.value = "off";
globalThis.document = {
  baseURI: "http://orchestrator/",
  querySelector: () => ({ content: JSON.stringify({ scheduler: "http://scheduler" }) }),
};

/** Services that have these lists by their paths; a list that is an error gets no answer. */
function having(lists) {
  globalThis.fetch = async ({ pathname, searchParams }) => {
    const list = lists[pathname] ?? [];
    if (list instanceof Error) throw list;
    const [limit, from] = [Number(searchParams.get("limit")), Number(searchParams.get("cursor") ?? 0)];
    const name = searchParams.get("name")?.replace(/\*$/, "");
    const fitting = list.filter((one) => name === undefined || one.name.startsWith(name));
    const headers = { "Content-Type": "application/json" };
    if (from + limit < fitting.length) headers.Link = `<?cursor=${from + limit}>; rel="next"`;
    return new Response(JSON.stringify(fitting.slice(from, from + limit)), { headers });
  };
}

const hits = ({ groups }) => groups.flatMap(({ found }) => found.map(({ id }) => id));

test("a service that is away leaves the hits of the others", async () => {
  having({
    "/api/v1/jobs": [{ id: "J", name: "nightly" }],
    "/api/v1/scheduled": new TypeError("refused"),
    "/api/v1/workers": new TypeError("refused"),
  });

  const error = await find("night").catch((raised) => raised);

  assert.equal(error.offline, true);
  assert.deepEqual(hits(error.partial), ["J"]);
});

test("workers, schedules and pipelines are found by the end of their id, however many there are", async () => {
  const id = "0192f0c1-2345-7abc-8def-0123456789ab";
  const many = [...Array(1500).keys()].map((at) => ({ id: `0192f0c1-2345-7abc-8def-${String(at).padStart(12, "0")}`, name: "n" }));
  for (const path of ["/api/v1/pipelines", "/api/v1/scheduled", "/api/v1/workers"]) {
    having({ [path]: [...many, { id, name: "n" }] });
    assert.deepEqual(hits(await find("456789AB")), [id]);
  }
});
