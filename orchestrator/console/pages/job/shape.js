// The graph of a job's steps: what there is to draw, and where it goes. A step with a matrix is one node. Pure.

import { stepsOf } from "./model.js";

/** The most nodes and edges that are drawn; larger jobs are read better as a table. */
export const MOST_NODES = 200;
export const MOST_EDGES = 1000;

const CHARACTER = 7.4;
const NARROWEST = 112;
const WIDEST = 264;
const HEIGHT = 44;
/** Room for the icon, and at both ends. */
const PADDING = 46;

/** `{nodes, edges, drawn}`: a node for each step, `{id, step, tasks, width, height}`; edges as pairs of ids, without
 *  those that other edges imply; `drawn` is false for what is too large to draw. */
export function shapeOf(job) {
  const steps = stepsOf(job);
  if (steps.length > MOST_NODES) return { nodes: steps.map(nodeOf), edges: [], drawn: false };
  const edges = edgesOf(steps);
  return { nodes: steps.map(nodeOf), edges, drawn: edges.length <= MOST_EDGES };
}

function nodeOf(step) {
  const letters = Math.max(step.name.length, step.matrix ? 12 : 0);
  const width = Math.min(WIDEST, Math.max(NARROWEST, Math.ceil(letters * CHARACTER) + PADDING));
  return { id: step.name, step, tasks: step.tasks, width, height: HEIGHT };
}

/** A name that fits a node: its end is left out where it does not. */
export function shortened(name, width) {
  const room = Math.floor((width - PADDING) / CHARACTER);
  const letters = [...name];
  return letters.length <= room ? name : `${letters.slice(0, room - 1).join("")}…`;
}

/** The edges between steps, without those from a step to one that it reaches through others as well. */
function edgesOf(steps) {
  const place = new Map(steps.map((step, at) => [step.name, at]));
  const needs = steps.map((step) => step.needs.map((name) => place.get(name)).filter((at) => at !== undefined));
  const reached = new Map();
  const before = (at) => {
    if (!reached.has(at)) {
      const all = new Set();
      reached.set(at, all); // first, so that a circle ends here
      for (const one of needs[at]) {
        all.add(one);
        for (const further of before(one)) all.add(further);
      }
    }
    return reached.get(at);
  };
  return steps.flatMap((step, at) =>
    needs[at]
      .filter((one) => !needs[at].some((other) => other !== one && before(other).has(one)))
      .map((one) => [steps[one].name, step.name]),
  );
}

/** Where nodes and edges go, by `dagre`: `{width, height, nodes: Map of id to {x, y}, edges: [{from, to, points}]}`; x
 *  and y are a node's upper left corner. `across`: from left to right, otherwise downwards. */
export function layout({ nodes, edges }, dagre, across) {
  const graph = new dagre.Graph();
  graph.setGraph({ rankdir: across ? "LR" : "TB", nodesep: 16, ranksep: across ? 44 : 28, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of nodes) graph.setNode(key(id), { width, height });
  for (const [from, to] of edges) graph.setEdge(key(from), key(to));
  dagre.layout(graph);
  const { width, height } = graph.graph();
  const corner = ({ x, y, width: wide, height: high }) => ({ x: x - wide / 2, y: y - high / 2 });
  const side = (id, direction) => {
    const { x, y, width: wide, height: high } = graph.node(key(id));
    return across ? { x: x + (direction * wide) / 2, y } : { x, y: y + (direction * high) / 2 };
  };
  return {
    width: Math.ceil(width),
    height: Math.ceil(height),
    nodes: new Map(nodes.map(({ id }) => [id, corner(graph.node(key(id)))])),
    edges: edges.map(([from, to]) => {
      const between = graph.edge(key(from), key(to)).points.slice(1, -1);
      const around = between.length > 1 ? between : []; // one point alone is between two ranks: nothing is in the way
      return { from, to, points: [side(from, 1), ...around, side(to, -1)] };
    }),
  };
}

/** A step's name as dagre keeps it: one such as `__proto__` must not be a property of an object. */
function key(id) {
  return `step:${id}`;
}

/** An edge as the path of a curve. It leaves one node and reaches the other in the middle of a side, and passes between by
 *  the points that the layout chose. */
export function pathOf(points, across) {
  const turn = (x, y, toX, toY) => (across ? [(x + toX) / 2, y, (x + toX) / 2, toY] : [x, (y + toY) / 2, toX, (y + toY) / 2]);
  const [first, ...rest] = points;
  const curves = rest.map(({ x, y }, at) => `C${turn(points[at].x, points[at].y, x, y).map(round)} ${round(x)},${round(y)}`);
  return `M${round(first.x)},${round(first.y)}${curves.join("")}`;
}

function round(number) {
  return Math.round(number * 10) / 10;
}
