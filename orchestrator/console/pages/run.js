// The page Run: a job of a command or of a stored pipeline, new or like an earlier one.
import { get } from "../app/api.js";
import { html } from "../app/html.js";
import { useLive } from "../app/live.js";
import { lacking } from "../app/role.js";
import { inert, shortId } from "../app/text.js";
import { PageHead } from "../parts/head.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Tabs } from "../parts/tabs.js";
import { CommandForm } from "./run/command.js";
import { PipelineForm } from "./run/pipeline.js";
import { again, EMPTY_COMMAND } from "./run/submission.js";

export const title = () => "Run";

export default function Run({ query }) {
  const { data, error, loading } = useLive(({ signal }) => startOf(query.from, signal), [query.from], { every: 0 });
  const start = data?.from === query.from ? data : undefined; // at first, what the address named before is still there
  const kind = query.kind ?? (query.pipeline ? "pipeline" : (start?.kind ?? "command"));
  const { title: refusal } = lacking("orchestrator POST /api/v1/jobs");
  return html`
    <${PageHead} title=${query.from ? "Run again with changes" : "Run"} />
    <${ProblemBox} error=${error} />
    ${refusal && html`<p class="notice">${refusal}</p>`}
    ${start?.job && html`<${Origin} start=${start} />`}
    <${Tabs} items=${[["command", "A command"], ["pipeline", "A pipeline"]]} current=${kind} param="kind" label="What to run" />
    ${loading && !start && html`<p class="muted">Loading…</p>`}
    ${start && kind === "command" && html`<${CommandForm} key=${`command ${query.from}`} initial=${start.kind === "command" ? start.form : EMPTY_COMMAND} />`}
    ${start && kind === "pipeline" && html`<${PipelineForm} key=${`pipeline ${query.from}`} start=${start} chosen=${query.pipeline ?? start.pipelineId} />`}
  `;
}

const BLANK = { kind: "command", form: EMPTY_COMMAND, params: {}, pipelineId: null, left: [], job: null };

/** What the form begins with, as the job `from` if there is one: `{from, kind, form, params, pipelineId, left, job}`. */
async function startOf(from, signal) {
  if (!from) return { from, ...BLANK };
  const { data: job } = await get("orchestrator", `/api/v1/jobs/${encodeURIComponent(from)}`, { signal });
  let stored = null;
  if (job.pipeline_id) {
    const path = `/api/v1/pipelines/${job.pipeline_id}/versions/${job.pipeline_version}`;
    stored = (await get("orchestrator", path, { signal })).data;
  }
  return { from, ...again(job, stored), job };
}

function Origin({ start: { job, kind, left } }) {
  const link = html`<${Link} to=${`/jobs/${job.id}`}>${inert(job.name)} <code>${shortId(job.id)}</code><//>`;
  if (kind === null) {
    return html`<p class="notice">
      ${link} ran a pipeline that is not stored, so this form cannot show it. Rerun the job as it is, or store its pipeline
      first: <code>hodei pipelines apply FILE</code>.
    </p>`;
  }
  return html`<p class="notice">
    As ${link} was submitted.
    ${left.length > 0 && html` <strong>Not taken over, because it is hidden or has no field here: ${inert(left.join(", "))}.</strong>`}
  </p>`;
}
