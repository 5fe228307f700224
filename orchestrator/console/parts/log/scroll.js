// Where a scroll bar stands in a log of any length. Pure.
//
// Browsers limit the height of an element to some 17 to 33 million pixels, which is less than a million lines of them.
// So the track on which a long log scrolls is at most TALLEST high, and its scroll bar stands for a line, not a pixel:
// a drag goes to the line at that part of the log, while small movements (wheel, keys, touch) go over real pixels. Near
// both ends (EDGE) the track has the lines' real heights, so that the ends are where the lines are.

/** The most pixels of a track. */
export const TALLEST = 8_000_000;
/** The pixels at each end that are real. */
export const EDGE = 400_000;

/** The geometry of a log: of `lines` lines, `lineHeight` pixels each, seen through `viewport` pixels. */
export function track(lines, lineHeight, viewport) {
  const height = Math.min(TALLEST, Math.max(Math.ceil(lines * lineHeight), viewport));
  const most = Math.max(0, height - viewport); // the largest scrollTop
  const lastTop = Math.max(1, lines - viewport / lineHeight + 1); // the line at the top when the end is at the bottom
  const edge = Math.min(EDGE, most / 2);
  const between = most - 2 * edge; // pixels of the part that may be compressed, and its lines
  const linesBetween = Math.max(0, lastTop - 1 - (2 * edge) / lineHeight);
  return { height, most, lastTop, lineHeight, edge, scale: between === 0 ? 0 : linesBetween / between };
}

/** The line (from 1, with a fraction) at the top when the scroll bar is at `scrollTop`. */
export function lineAt({ most, lastTop, lineHeight, edge, scale }, scrollTop) {
  const top = Math.min(most, Math.max(0, scrollTop));
  if (top <= edge) return Math.min(lastTop, 1 + top / lineHeight);
  if (top >= most - edge) return Math.max(1, lastTop - (most - top) / lineHeight);
  return 1 + edge / lineHeight + (top - edge) * scale;
}

/** Where the scroll bar belongs when `line` is at the top. */
export function topOf({ most, lastTop, lineHeight, edge, scale }, line) {
  const [first, last] = [1 + edge / lineHeight, lastTop - edge / lineHeight];
  const bounded = Math.min(lastTop, Math.max(1, line));
  if (bounded <= first) return Math.min(most, (bounded - 1) * lineHeight);
  if (bounded >= last) return Math.max(0, most - (lastTop - bounded) * lineHeight);
  return edge + (bounded - first) / scale;
}

/** The blocks (of `size` lines, from 0) to keep in the page around the lines that are seen. */
export function blocksAround(line, seen, { lines, size, spare }) {
  const last = Math.max(0, Math.ceil(lines / size) - 1);
  const block = (at) => Math.min(last, Math.max(0, Math.floor((at - 1) / size)));
  return [block(line - spare), block(line + seen + spare)];
}
