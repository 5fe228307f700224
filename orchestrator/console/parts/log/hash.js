// The lines that an address names: `#L120`, `#L120-L140`. Pure.

const LINES = /^#?L?(\d{1,12})(?:-L?(\d{1,12}))?$/i;

/** `{from, to}` of a fragment, or of what a person typed (`120`, `120-140`); null if it does not name lines. */
export function linesIn(text) {
  const found = LINES.exec((text ?? "").trim());
  if (!found || Number(found[1]) < 1) return null;
  const [one, other] = [Number(found[1]), Number(found[2] ?? found[1])];
  return other < 1 ? null : { from: Math.min(one, other), to: Math.max(one, other) };
}

/** The fragment for some lines; "" for none. */
export function fragmentOf(lines) {
  if (!lines) return "";
  return lines.from === lines.to ? `#L${lines.from}` : `#L${lines.from}-L${lines.to}`;
}

/** The lines that are chosen by choosing one more: with `extend`, all from the first that was chosen to this one. */
export function chosen(before, line, extend) {
  const from = extend && before ? before.from : line;
  return { from: Math.min(from, line), to: Math.max(from, line) };
}
