// The versions of a pipeline, and what differs between two of them.
import { get } from "../../app/api.js";
import { html, useMemo } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { setQuery } from "../../app/router.js";
import { inert, plural } from "../../app/text.js";
import { Field } from "../../parts/form.js";
import { Link } from "../../parts/link.js";
import { ProblemBox } from "../../parts/problem.js";
import { ScrollBox } from "../../parts/scroll-box.js";
import { Table } from "../../parts/table.js";
import { Time } from "../../parts/time.js";
import { pipelineText } from "./definition.js";
import { counts, diffLines, hunks } from "./diff.js";

const LISTED = 50;

export function Versions({ pipeline, query }) {
  const path = `/api/v1/pipelines/${pipeline.id}/versions`;
  const load = ({ signal }) => get("orchestrator", path, { query: { limit: LISTED }, signal });
  const { data, error, refresh } = useLive(load, [path, pipeline.version], { every: 0 });
  if (!data) return error ? html`<${ProblemBox} error=${error} retry=${refresh} />` : html`<p class="muted">Loading…</p>`;
  const versions = data.data;
  const newer = pick(versions, query.version) ?? versions[0];
  const older = pick(versions, query.against) ?? versions[versions.indexOf(newer) + 1] ?? null;
  return html`
    ${older && html`<${Choice} ...${{ versions, newer, older }} /><${Difference} key=${`${older.version} ${newer.version}`} ...${{ older, newer }} />`}
    <h2>${data.next ? `The newest ${LISTED} versions` : plural(versions.length, "version")}</h2>
    <${Table} label="Versions" columns=${columns(versions)} rows=${versions} keyOf=${({ version }) => String(version)} />
  `;
}

const pick = (versions, text) => versions.find(({ version }) => String(version) === text);

function columns(versions) {
  const last = versions[versions.length - 1].version;
  return [
    { key: "version", title: "Version", align: "end" },
    { key: "at", title: "Made", cell: ({ updated_at: at }) => html`<${Time} at=${at} relative />` },
    { key: "by", title: "By", cell: ({ updated_by: by }) => (by ? inert(by.name) : html`<span class="muted">–</span>`) },
    { key: "steps", title: "Steps", align: "end", cell: ({ steps }) => steps.length },
    {
      key: "diff", title: "Changes", wide: true,
      cell: ({ id, version }) => version > last && html`<${Link} to=${`/pipelines/${id}`} query=${{ tab: "versions", version, against: version - 1 }}>
        ${version - 1} → ${version}
      <//>`,
    },
    { key: "jobs", title: "Jobs", cell: ({ id, version }) => html`<${Link} to="/jobs" query=${{ pipeline: id, pipeline_version: version }}>its jobs<//>` },
  ];
}

function Choice({ versions, newer, older }) {
  const choice = (label, name, chosen) => html`<${Field} label=${label}>
    <select value=${String(chosen.version)} onChange=${(event) => setQuery({ [name]: event.target.value })}>
      ${versions.map(({ version }) => html`<option key=${version} value=${String(version)} selected=${version === chosen.version}>${version}</option>`)}
    </select>
  <//>`;
  return html`<div class="compare">${choice("From version", "against", older)} ${choice("To version", "version", newer)}</div>`;
}

function Difference({ older, newer }) {
  const diff = useMemo(() => diffLines(pipelineText(older), pipelineText(newer)), []);
  const { added, removed } = counts(diff);
  if (!added && !removed) return html`<p class="notice">Versions ${older.version} and ${newer.version} are the same.</p>`;
  return html`<section class="diff" aria-label=${`Changes from version ${older.version} to ${newer.version}`}>
    <p class="muted">${plural(added, "line")} added, ${plural(removed, "line")} removed</p>
    <${ScrollBox} label="Changed lines"><table><tbody>
      ${hunks(diff).map((line, at) => html`<${Line} key=${at} ...${line} />`)}
    </tbody></table><//>
  </section>`;
}

const SIGNS = { same: " ", added: "+", removed: "-" };
const NAMES = { same: "", added: "added: ", removed: "removed: " };

function Line({ kind, text, before, after, count }) {
  if (kind === "skipped") return html`<tr class="skipped"><td colspan="3">${plural(count, "equal line")}</td></tr>`;
  return html`<tr class=${kind}>
    <td class="end">${before}</td><td class="end">${after}</td>
    <td><span aria-hidden="true">${SIGNS[kind]}</span><span class="visually-hidden">${NAMES[kind]}</span><code>${inert(text)}</code></td>
  </tr>`;
}
