// The page Jobs: filters in the URL, rows that change in place, and actions on many jobs.
import { get } from "../app/api.js";
import { html, useMemo } from "../app/html.js";
import { useKeys } from "../app/keys.js";
import { paused, useLive } from "../app/live.js";
import { allows } from "../app/role.js";
import { navigate } from "../app/router.js";
import { inert } from "../app/text.js";
import { Empty } from "../parts/empty.js";
import { Pages } from "../parts/filters.js";
import { PageHead } from "../parts/head.js";
import { Icon } from "../parts/icon.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Table } from "../parts/table.js";
import { Actions } from "./jobs/actions.js";
import { checkboxes, newChoice } from "./jobs/choice.js";
import { COLUMNS } from "./jobs/columns.js";
import { FilterBar } from "./jobs/filter_bar.js";
import { faultsOf, readFilters, toApi, words } from "./jobs/filters.js";
import { useLivePage } from "./jobs/live_page.js";
import { news, spoken } from "./jobs/merge.js";

export const title = () => "Jobs";

export default function Jobs({ query }) {
  const filters = readFilters(query);
  const faulty = faultsOf(filters).length > 0;
  const key = JSON.stringify([filters, query.cursor]);
  const page = useLivePage((now) => ({ ...toApi(filters, now), cursor: query.cursor }), key);
  const counts = useLive(({ signal }) => get("orchestrator", "/api/v1/jobs/counts", { signal }), [], { every: 5000 });
  const choice = useMemo(newChoice, [key]); // each list has its own: what was chosen in another is not chosen here
  useKeys({ f: () => nextFailure(), ".": () => page.renew() }, { f: "Next failure", ".": "Show what is new" });
  const actions = html`${allows("orchestrator POST /api/v1/jobs") && html`<${Link} to="/run" class="button primary">Run<//>`} <${Pause} />`;
  return html`
    <${PageHead} title="Jobs" actions=${actions} />
    <${FilterBar} filters=${filters} counts=${counts.data?.data.counts} />
    <${ProblemBox} error=${page.error} retry=${faulty ? null : page.refresh} />
    <${Live} page=${page} />
    ${!page.rows && !page.error && html`<p class="muted">Loading…</p>`}
    ${page.rows && !faulty && html`
      <${Table} label="Jobs" columns=${COLUMNS} rows=${page.rows} selected=${checkboxes(choice, page.rows)} onOpen=${({ id }) => navigate(`/jobs/${id}`)}
        empty=${html`<${Nothing} filters=${filters} />`} />
      <${Pages} query=${query} next=${page.next} />
      <${Actions} key=${key} ...${{ rows: page.rows, current: page.current, choice, filters, onDone: page.renew }} />
    `}
  `;
}

function Pause() {
  const toggle = () => (paused.value = !paused.value);
  return html`<button type="button" class="quiet" aria-pressed=${paused.value} onClick=${toggle}>
    <${Icon} name=${paused.value ? "run" : "pause"} /> ${paused.value ? "Resume" : "Pause"}
  </button>`;
}

/** One line of constant height, so that no row moves when something is new. */
function Live({ page: { rows, fresh, gone, capped, stale, renew } }) {
  const text = news(fresh, gone, capped);
  const state = paused.value ? "Paused" : stale ? "Not up to date: the orchestrator does not answer." : "Live";
  return html`<p class="live-line">
    ${text && html`<button type="button" class="news" onClick=${renew}>${text} · show</button>`}
    <span role="status" class=${text ? "visually-hidden" : "muted"}>${rows && spoken(text, state)}</span>
  </p>`;
}

function nextFailure() {
  const rows = [...document.querySelectorAll("main tr[data-key]")];
  const at = rows.indexOf(document.activeElement?.closest("tr"));
  const ordered = [...rows.slice(at + 1), ...rows.slice(0, at + 1)];
  const found = ordered.find((row) => row.querySelector('[data-status="failed"]'));
  found?.focus();
  found?.scrollIntoView({ block: "nearest" });
  return Boolean(found);
}

function Nothing({ filters }) {
  if (!Object.keys(filters).length) {
    return html`<${Empty} text="No job yet. Run a command:" command="hodei run -- echo hello">
      <p>or <${Link} to="/run">run one here<//>.</p>
    <//>`;
  }
  return html`<${Empty} text=${inert(`No job matches: ${words(filters)}.`)}>
    <button type="button" onClick=${() => navigate("/jobs", { replace: true })}>Show all jobs</button>
  <//>`;
}
