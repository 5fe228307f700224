// The graph of a job's steps.
import assert from "node:assert/strict";
import { test } from "node:test";

import * as dagre from "dagre";
import { layout, MOST_NODES, pathOf, shapeOf, shortened } from "../../../orchestrator/console/pages/job/shape.js";
import { job, task } from "./job_samples.js";

test("a step is a node, with all tasks of its matrix, and an edge comes from each step that it needs", () => {
  const tests = [0, 1, 2].map((index) => task("test", { index, matrix: { n: index }, depends_on: ["build"] }));
  const { nodes, edges, drawn } = shapeOf(job([task("build"), ...tests, task("end", { depends_on: ["test"] })]));
  assert.deepEqual(nodes.map(({ id, tasks }) => [id, tasks.length]), [["build", 1], ["test", 3], ["end", 1]]);
  assert.deepEqual(edges, [["build", "test"], ["test", "end"]]);
  assert.ok(drawn);
});

test("an edge that others imply is left out", () => {
  const steps = [task("a"), task("b", { depends_on: ["a"] }), task("c", { depends_on: ["b"] }), task("d", { depends_on: ["a", "b", "c"] })];
  assert.deepEqual(shapeOf(job(steps)).edges, [["a", "b"], ["b", "c"], ["c", "d"]]);
});

test("steps that do not exist, and circles, do no harm", () => {
  const odd = [task("a", { depends_on: ["b", "gone"] }), task("b", { depends_on: ["a"] }), task("__proto__", { depends_on: ["a"] })];
  const { nodes, edges } = shapeOf(job(odd));
  assert.equal(nodes.length, 3);
  assert.deepEqual(edges.at(-1), ["a", "__proto__"]);
});

test("what is too large is not drawn", () => {
  const many = (count) => job(Array.from({ length: count }, (_, index) => task(`s${index}`)));
  assert.ok(shapeOf(many(MOST_NODES)).drawn);
  assert.ok(!shapeOf(many(MOST_NODES + 1)).drawn);
  const left = Array.from({ length: 60 }, (_, index) => task(`l${index}`));
  const right = Array.from({ length: 60 }, (_, index) => task(`r${index}`, { depends_on: left.map((one) => one.name) }));
  assert.ok(!shapeOf(job([...left, ...right])).drawn, "3600 edges");
});

test("a long name loses its end and no half of a character", () => {
  const [node] = shapeOf(job([task("x".repeat(100))])).nodes;
  assert.equal(node.width, 264);
  assert.ok(shortened(node.id, node.width).endsWith("x…"));
  assert.equal(shortened("build", 112), "build");
  assert.ok(!/\p{Surrogate}/u.test(shortened("😀".repeat(50), 112)));
});

test("an edge is a curve that leaves and reaches its nodes straight", () => {
  const points = [{ x: 0, y: 0 }, { x: 10, y: 20.04 }, { x: 20, y: 20 }];
  assert.equal(pathOf(points, true), "M0,0C5,0,5,20 10,20C15,20,15,20 20,20");
  assert.equal(pathOf(points.slice(0, 2), false), "M0,0C0,10,10,10 10,20");
});

test("the layout has a place for each node, also for one that is named like a property", () => {
  const steps = [task("a"), task("__proto__", { depends_on: ["a"] }), task("constructor", { depends_on: ["a"] })];
  const shape = shapeOf(job(steps));
  const { nodes, edges, width, height } = layout(shape, dagre, true);
  assert.ok(nodes.get("__proto__").x > nodes.get("a").x && nodes.get("__proto__").x + 112 <= width);
  assert.notEqual(nodes.get("__proto__").y, nodes.get("constructor").y);
  assert.deepEqual(edges[0].points[0], { x: nodes.get("a").x + 112, y: nodes.get("a").y + 22 }, "the middle of a side");
  assert.ok(height > 88);
  const down = layout(shape, dagre, false).nodes;
  assert.ok(down.get("constructor").y > down.get("a").y);
});
