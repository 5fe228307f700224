// One execution's log with its tools. Lines are chosen by the address, and by a click on their numbers.
import { html, useEffect, useMemo, useRef, useState } from "../../app/html.js";
import { useKeys } from "../../app/keys.js";
import { href, navigate, route } from "../../app/router.js";
import { inert } from "../../app/text.js";
import { zone } from "../../app/time.js";
import { patternOf } from "./ansi.js";
import { blockOf } from "./blocks.js";
import { addressOf, opensAtEnd, titleOf } from "./choose.js";
import { chosen as extended, fragmentOf, linesIn } from "./hash.js";
import { Output } from "./output.js";
import { readerOf } from "./source.js";
import { Tools } from "./tools.js";
import { newPlace, show, Viewer } from "./viewer.js";

const NO_BLOCKS = new Set();

/** The output of an execution, read while the component is shown, and a function that reads it anew after an error. */
export function useOutput(read) {
  const [round, setRound] = useState(0);
  const output = useMemo(() => new Output(read), [read, round]);
  useEffect(() => {
    output.open();
    return () => output.close();
  }, [output]);
  return [output, () => setRound(round + 1)];
}

/** `<Pane job task execution wrap times/>`: a new component, with a `key`, for each execution. */
export function Pane({ job, task, execution, wrap, times }) {
  const read = useMemo(() => readerOf(job, execution), [job.id, execution.id]);
  const [output, retry] = useOutput(read);
  const { path, hash, query } = route.value;
  const own = { ...query, ...addressOf(task, execution.attempt) };
  const lines = linesIn(hash);
  const place = useMemo(() => newPlace({ atEnd: opensAtEnd(execution), target: lines?.from ?? null }), []);
  const [search, setSearch] = useState(null);
  useEffect(() => {
    search?.run();
    return () => search?.close();
  }, [search]);

  // A click chooses lines without moving them; another address, such as "back" in the browser, shows its lines.
  const ownHash = useRef(hash);
  useEffect(() => {
    if (hash !== ownHash.current && lines) show(place, lines.from);
    ownHash.current = hash;
  }, [hash]);
  const choose = (range, move = false) => {
    ownHash.current = fragmentOf(range);
    navigate(path, { query: own, hash: ownHash.current, replace: true });
    if (move) show(place, range.from);
  };
  const onClick = (event) => {
    const number = event.target.closest?.("a.log-number")?.dataset.number;
    if (!number || event.ctrlKey || event.metaKey || event.button !== 0) return;
    event.preventDefault();
    choose(extended(lines, Number(number), event.shiftKey));
  };

  const [large, setLarge] = useState(false);
  useKeys({ Escape: () => (large ? setLarge(false) : setSearch(null)) });

  const current = search?.line ?? null;
  useEffect(() => {
    if (current !== null) show(place, current);
  }, [search, current]);
  const matches = search?.state.value.lines;
  const address = href(path, own);
  const look = useMemo(
    () => ({
      chosen: lines,
      current,
      pattern: search && patternOf(search.text, search.exact),
      hits: matches ? new Set(matches.map(blockOf)) : NO_BLOCKS,
      zone: times ? zone.value : "",
      address,
      wrap,
    }),
    [lines?.from, lines?.to, current, search, matches, times && zone.value, address, wrap],
  );
  return html`<div class=${`log-pane ${wrap ? "log-wrap" : ""} ${large ? "log-large" : ""}`} onClick=${onClick}>
    <${Tools} job=${job} execution=${execution} read=${read} output=${output} place=${place} chosen=${lines} search=${search}
      onSearch=${setSearch} onLines=${choose} large=${large} onLarge=${() => setLarge(!large)} />
    <${Viewer} output=${output} place=${place} look=${look} label=${`Log of ${inert(titleOf(task))}`} retry=${retry} />
  </div>`;
}
