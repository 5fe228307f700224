// Line by line, what differs between two texts: the shortest edit script (Myers 1986), and its hunks. Pure.

/** Most lines that may differ before the middle of both texts counts as replaced. The search takes the square of it. */
const MOST_EDITS = 1000;

/** The lines of both texts in order: `[{kind: "same" | "removed" | "added", text, before, after}]`, where `before` and
 *  `after` are the line's numbers in the texts, from 1. */
export function diffLines(before, after) {
  const a = lines(before);
  const b = lines(after);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const middle = edits(a.slice(start, a.length - end), b.slice(start, b.length - end));
  const kinds = [...Array(start).fill("same"), ...middle, ...Array(end).fill("same")];
  let [i, j] = [0, 0];
  return kinds.map((kind) => {
    if (kind === "removed") return { kind, text: a[i], before: ++i, after: null };
    if (kind === "added") return { kind, text: b[j], before: null, after: ++j };
    return { kind, text: a[i], before: ++i, after: ++j };
  });
}

function lines(text) {
  const found = text.split("\n");
  if (found.at(-1) === "") found.pop();
  return found;
}

/** The kinds of the lines of the shortest edit script from `a` to `b`. */
function edits(a, b) {
  const most = Math.min(a.length + b.length, MOST_EDITS);
  const offset = most + 1;
  const reached = new Int32Array(2 * offset + 1);
  const trace = [];
  for (let d = 0; d <= most; d++) {
    trace.push(reached.slice(offset - d - 1, offset + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reached[offset + k - 1] < reached[offset + k + 1]);
      let x = down ? reached[offset + k + 1] : reached[offset + k - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      reached[offset + k] = x;
      if (x >= a.length && x - k >= b.length) return walkBack(trace, a.length, b.length);
    }
  }
  return [...Array(a.length).fill("removed"), ...Array(b.length).fill("added")];
}

function walkBack(trace, x, y) {
  const kinds = [];
  for (let d = trace.length - 1; d >= 0; d--) {
    const at = (k) => trace[d][k + d + 1];
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const from = down ? k + 1 : k - 1;
    const [fromX, fromY] = d ? [at(from), at(from) - from] : [0, 0];
    while (x > fromX && y > fromY) {
      kinds.push("same");
      x--;
      y--;
    }
    if (d) kinds.push(down ? "added" : "removed");
    [x, y] = [fromX, fromY];
  }
  return kinds.reverse();
}

/** The differing lines with `context` equal lines around them; runs of further equal lines become `{kind: "skipped",
 *  count}`. Equal texts have no hunks. */
export function hunks(diff, context = 3) {
  const near = new Uint8Array(diff.length);
  diff.forEach(({ kind }, at) => {
    if (kind !== "same") near.fill(1, Math.max(0, at - context), at + context + 1);
  });
  const shown = [];
  let skipped = 0;
  diff.forEach((line, at) => {
    if (!near[at]) skipped++;
    else {
      if (skipped) shown.push({ kind: "skipped", count: skipped });
      skipped = 0;
      shown.push(line);
    }
  });
  if (skipped && shown.length) shown.push({ kind: "skipped", count: skipped });
  return shown;
}

/** How many lines were added and removed. */
export function counts(diff) {
  return {
    added: diff.filter(({ kind }) => kind === "added").length,
    removed: diff.filter(({ kind }) => kind === "removed").length,
  };
}
