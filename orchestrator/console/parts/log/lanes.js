// Steps side by side, each in a lane of its own.
import { html, useMemo } from "../../app/html.js";
import { route } from "../../app/router.js";
import { zone } from "../../app/time.js";
import { inert, plural } from "../../app/text.js";
import { Link } from "../link.js";
import { Status } from "../status.js";
import { addressOf, executionToShow, lanesOf, opensAtEnd, titleOf } from "./choose.js";
import { useOutput } from "./pane.js";
import { readerOf } from "./source.js";
import { newPlace, Viewer } from "./viewer.js";

/** `<Lanes job tasks wrap times/>` */
export function Lanes({ job, tasks, wrap, times }) {
  const shown = lanesOf(tasks);
  const others = tasks.length - shown.length;
  return html`<div class="log-lanes">
      ${shown.map((task) => html`<${Lane} key=${executionToShow(task).id} ...${{ job, task, wrap, times }} />`)}
    </div>
    ${others > 0 && html`<p class="help">${plural(others, "more step")}: choose one above to see its log.</p>`}`;
}

function Lane({ job, task, wrap, times }) {
  const execution = executionToShow(task);
  const read = useMemo(() => readerOf(job, execution), [job.id, execution.id]);
  const [output, retry] = useOutput(read);
  const place = useMemo(() => newPlace({ atEnd: opensAtEnd(execution) }), []);
  const { path, query } = route.value;
  const address = { ...query, ...addressOf(task) };
  const shownZone = times ? zone.value : "";
  const look = useMemo(
    () => ({ chosen: null, current: null, pattern: null, hits: new Set(), zone: shownZone, address: null, wrap }),
    [shownZone, wrap],
  );
  const title = inert(titleOf(task));
  return html`<section class=${`log-lane ${wrap ? "log-wrap" : ""}`} aria-label=${title}>
    <h2><${Link} to=${path} query=${address}>${title}<//> <${Status} of=${execution.status} /></h2>
    <${Viewer} output=${output} place=${place} look=${look} label=${`Log of ${title}`} retry=${retry} />
  </section>`;
}
