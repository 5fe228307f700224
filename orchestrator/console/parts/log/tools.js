// What one can do with a log: search it, go to a line or to an error, follow it, save it.
import { html, useEffect, useRef, useState } from "../../app/html.js";
import { useKeys } from "../../app/keys.js";
import { bytes, count, plural } from "../../app/text.js";
import { toast } from "../toast.js";
import { nextError, nextErrorIn, Search } from "./find.js";
import { linesIn } from "./hash.js";
import { linksWork, rawAddress, save } from "./source.js";

/** `<Tools job execution read output place chosen search onSearch onLines large onLarge/>`: `chosen` are the lines that the
 * address names, or null; `search` is the Search that goes on, or null; `large` tells whether the log fills the window. */
export function Tools({ job, execution, read, output, place, chosen, search, onSearch, onLines, large, onLarge }) {
  const facts = output.facts.value;
  return html`<div class="log-tools">
    <${Find} read=${read} search=${search} onSearch=${onSearch} />
    <${Errors} read=${read} output=${output} chosen=${chosen} match=${search?.line} onLines=${onLines} />
    <${GoTo} output=${output} onLines=${onLines} />
    <${Raw} job=${job} execution=${execution} />
    <button type="button" class="quiet" aria-pressed=${large} onClick=${onLarge}>Enlarge</button>
    ${facts && html`<${Facts} facts=${facts} place=${place} />`}
  </div>`;
}

function Find({ read, search, onSearch }) {
  const [text, setText] = useState("");
  const [exact, setExact] = useState(false);
  const field = useRef(null);
  const start = () => {
    if (text === "") return onSearch(null);
    if (search && search.text === text && search.exact === exact) return search.go(1);
    return onSearch(new Search(read, text, exact));
  };
  const onKeyDown = (event) => {
    if (event.key === "Escape") setText(""), onSearch(null);
    else if (event.key === "Enter" && event.shiftKey && search) event.preventDefault(), search.go(-1);
  };
  const walk = (step) => () => (search ? search.go(step) : false);
  useKeys({ n: walk(1), N: walk(-1) }, { n: "Next match in the log", N: "Match before" });
  const onSubmit = (event) => {
    event.preventDefault();
    start();
  };
  return html`<form class="log-find" role="search" aria-label="Search this log" onSubmit=${onSubmit}>
    <input ref=${field} type="search" value=${text} placeholder="Search the log" aria-label="Search the log" maxlength="1000"
      onInput=${(event) => setText(event.target.value)} onKeyDown=${onKeyDown} />
    <label class="log-exact" title="Tell capital letters from small ones"><input type="checkbox" checked=${exact}
      onChange=${(event) => setExact(event.target.checked)} /> Aa</label>
    <button type="button" class="quiet" disabled=${!search} aria-label="Match before" onClick=${walk(-1)}>↑</button>
    <button type="submit" class="quiet" aria-label="Next match">↓</button>
    <output aria-live="polite">${search && found(search)}</output>
  </form>`;
}

function found(search) {
  const { lines, done, more, searched, error } = search.state.value;
  if (error) return "The search failed. Try again.";
  if (lines.length === 0) return done ? "No line has this." : `Searching… line ${count(searched)}`;
  const all = `${count(lines.length)}${more ? " or more" : ""}`;
  return `${count(search.at.value + 1)} of ${all}${done ? "" : " so far"}`;
}

/** The button that goes to the first error. The search goes on behind it, for an earlier error, until the person goes to
 * another line: it would take them away from there. */
function Errors({ read, output, chosen, match, onLines }) {
  const [state, setState] = useState(null); // {abort, searched} while it searches
  const last = useRef(0);
  useEffect(() => () => state?.abort.abort(), [state?.abort]);
  useEffect(() => {
    if (chosen?.from !== last.current) state?.abort.abort();
  }, [chosen?.from]);
  useEffect(() => state?.abort.abort(), [match]);
  const find = async (from) => {
    const abort = new AbortController();
    let reached = null;
    const arrive = (line) => {
      if (line === reached) return;
      reached = last.current = line;
      onLines({ from: line, to: line }, true);
    };
    const progress = (searched, error = null) => {
      if (abort.signal.aborted) return;
      setState({ abort, searched });
      if (error !== null) arrive(error); // an earlier one may be found yet
    };
    progress(from);
    try {
      const blocks = output.all();
      const found = blocks ? nextErrorIn(blocks, from) : await nextError(read, from, { signal: abort.signal, progress });
      if (abort.signal.aborted) return;
      if (found.error !== null) arrive(found.error);
      else if (from > 0) toast("No later line looks like an error.");
      else if (found.stderr === null) toast("No line looks like an error, and nothing is on stderr.");
      else (toast("No line looks like an error. This is the first on stderr."), arrive(found.stderr));
    } catch (error) {
      if (!abort.signal.aborted) toast(`The log could not be searched: ${error.detail ?? error.message}`);
    } finally {
      setState((now) => (now?.abort === abort ? null : now));
    }
  };
  useKeys({ f: () => void find(last.current) }, { f: "Next error in the log" });
  if (state) {
    const share = Math.floor((100 * state.searched) / Math.max(1, output.facts.value?.lines ?? 0));
    return html`<button type="button" class="log-error" onClick=${() => state.abort.abort()}>Stop (${Math.min(99, share)} %)</button>`;
  }
  return html`<button type="button" class="log-error" onClick=${() => find(0)}>First error</button>`;
}

function GoTo({ output, onLines }) {
  const [text, setText] = useState("");
  const go = (event) => {
    event.preventDefault();
    const lines = linesIn(text);
    const last = output.facts.peek()?.lines ?? 0;
    if (!lines) return toast("Type a line's number, or two: 120-140.");
    if (lines.from > last) return toast(`The log has ${plural(last, "line")}.`);
    setText("");
    return onLines(lines, true);
  };
  return html`<form class="log-goto" onSubmit=${go}>
    <input type="text" inputmode="numeric" size="8" value=${text} placeholder="Line" aria-label="Go to line"
      onInput=${(event) => setText(event.target.value)} />
  </form>`;
}

function Raw({ job, execution }) {
  const [saving, setSaving] = useState(false);
  if (linksWork()) return html`<a class="button" href=${rawAddress(job, execution).href} download>Raw log</a>`;
  const onClick = async () => {
    setSaving(true);
    await save(job, execution).catch((error) => toast(`The log could not be saved: ${error.detail ?? error.message}`));
    setSaving(false);
  };
  return html`<button type="button" disabled=${saving} onClick=${onClick}>${saving ? "Saving…" : "Raw log"}</button>`;
}

function Facts({ facts, place }) {
  const following = place.following.value;
  const toEnd = () => {
    place.target.value = null;
    place.following.value = true;
  };
  const size = facts.bytes == null ? plural(facts.lines, "line") : `${plural(facts.lines, "line")}, ${bytes(facts.bytes)}`;
  // The button keeps its place when it is not shown, so that the log below does not move.
  return html`<span class="log-facts">
    <span class="muted">${size}${partOf(facts)}</span>
    <span class="log-end">
      ${facts.running && following ? html`<span class="log-live">Following</span>` : null}
      <button type="button" class=${`quiet ${following ? "log-away" : ""}`} onClick=${toEnd}>${facts.running ? "Follow the end" : "To the end"}</button>
    </span>
  </span>`;
}

/** What the size does not tell: that some of the output is not there to be read. */
function partOf({ truncated, expired }) {
  if (expired) return ", no longer all kept";
  return truncated ? ", only a part kept" : "";
}
