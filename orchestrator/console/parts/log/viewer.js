// One execution's log: its lines in the view that suits its length, or why there are none.
import { html, signal, useRef } from "../../app/html.js";
import { ProblemBox } from "../problem.js";
import { LongView } from "./long_view.js";
import { WholeView } from "./whole_view.js";

/** The most lines, and bytes, that are in the page at the same time. */
export const WHOLE = { lines: 20_000, bytes: 16_000_000 };

/** Where a person is in a log: `following` is true at its end, `top` is the line at the upper edge, and `target` a line
 * that is to be shown. */
export const newPlace = ({ atEnd, target = null }) => ({
  following: signal(atEnd && target === null),
  top: signal(1),
  target: signal(target),
});

/** Have a line shown. */
export function show(place, line) {
  place.following.value = false;
  place.target.value = line;
}

/** `<Viewer output place look label retry/>`. `look` is as in block.js; a new object means another look. */
export function Viewer({ output, place, look, label, retry }) {
  const long = useRef(false);
  const facts = output.facts.value;
  const error = output.error.value;
  const refused = error && !error.offline && error.status >= 400 && error.status < 500;
  if (!facts && error) return html`<${ProblemBox} error=${error} retry=${refused && retry} />`;
  if (!facts) return html`<p class="muted">Loading…</p>`;
  long.current ||= !fits(facts);
  const empty = facts.lines === 0 && !output.version.value;
  if (empty) return html`<p class="log-nothing">${facts.running ? "No output yet." : "The command wrote nothing."}</p>`;
  const View = long.current ? LongView : WholeView;
  return html`${error && html`<${ProblemBox} error=${error} />`}
    <${View} output=${output} place=${place} look=${look} label=${label} />`;
}

/** Whether all of a log may be in the page. The size of logs of earlier versions is not known. */
const fits = ({ lines, bytes }) => lines <= WHOLE.lines && (bytes == null ? lines <= 2000 : bytes <= WHOLE.bytes);
