// The page of one pipeline: how its runs went, its definition, and its versions.
import { useAct } from "../app/act.js";
import { del, get } from "../app/api.js";
import { html } from "../app/html.js";
import { useLive } from "../app/live.js";
import { lacking } from "../app/role.js";
import { navigate } from "../app/router.js";
import { inert, shortId } from "../app/text.js";
import { confirm } from "../parts/dialog.js";
import { Copy } from "../parts/copy.js";
import { PageHead } from "../parts/head.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Tabs } from "../parts/tabs.js";
import { Time } from "../parts/time.js";
import { Definition } from "./pipelines/definition_tab.js";
import { Runs } from "./pipelines/runs_tab.js";
import { Versions } from "./pipelines/versions_tab.js";

const TABS = [["runs", "Runs"], ["definition", "Definition"], ["versions", "Versions"]];

export const title = ({ id }) => `Pipeline ${shortId(id)}`;

export default function Pipeline({ params: { id }, query }) {
  const path = `/api/v1/pipelines/${encodeURIComponent(id)}`;
  const { data, error, refresh } = useLive(({ signal }) => newest(path, signal), [path], { every: 10_000 });
  const tab = TABS.some(([name]) => name === query.tab) ? query.tab : "runs";
  if (!data) return html`<${PageHead} title=${`Pipeline ${shortId(id)}`} /><${ProblemBox} error=${error} retry=${refresh} />`;
  const active = data.status === "active";
  const actions = active && html`
    <${Link} to="/run" query=${{ pipeline: id }} class="button primary">Run<//>
    <${Archive} path=${path} name=${data.name} refresh=${refresh} />
  `;
  return html`
    <${PageHead} title=${inert(data.name)} actions=${actions}>
      <${Facts} pipeline=${data} />
    <//>
    <${ProblemBox} error=${error} retry=${refresh} />
    <${Tabs} items=${TABS} current=${tab} drops=${["version", "against"]} />
    ${tab === "runs" && html`<${Runs} pipeline=${data} />`}
    ${tab === "definition" && html`<${Definition} pipeline=${data} />`}
    ${tab === "versions" && html`<${Versions} pipeline=${data} query=${query} />`}
  `;
}

/** The newest version. Archived pipelines have theirs as well, but are not at the path itself. */
async function newest(path, signal) {
  return (await get("orchestrator", `${path}/versions`, { query: { limit: 1 }, signal })).data[0];
}

function Facts({ pipeline: { id, description, status, version, updated_at: at, updated_by: by } }) {
  return html`
    ${description && html`<p>${inert(description)}</p>`}
    <p class="facts muted">
      ${status === "archived" && html`<${Status} of="archived" />`}
      <span>Version ${version}</span>
      <span>changed <${Time} at=${at} relative />${by && ` by ${inert(by.name)}`}</span>
      <span><code>${id}</code><${Copy} text=${id} label="Copy the id" /></span>
    </p>
  `;
}

function Archive({ path, name, refresh }) {
  const { act, busy, error } = useAct(refresh);
  const onClick = async () => {
    const text = "No new jobs are created from it, and its jobs cannot be rerun. Jobs that run go on, and all stay readable.";
    if (!(await confirm({ title: `Archive ${inert(name)}?`, text, action: "Archive it", danger: true }))) return;
    await act(async (here) => {
      await del("orchestrator", path);
      if (here()) navigate("/pipelines", { query: { status: "archived" } });
    }, `${inert(name)} is archived`);
  };
  return html`<button type="button" disabled=${busy} onClick=${onClick} ...${lacking("orchestrator DELETE /api/v1/pipelines/{id}")}>Archive</button><${ProblemBox} error=${error} />`;
}
