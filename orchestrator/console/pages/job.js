// The page Job: its head, what to know first, and the tabs. A job is followed live while it is not over.

import { Problem } from "../app/api.js";
import { html, useEffect, useMemo, useState } from "../app/html.js";
import { useKeys } from "../app/keys.js";
import { route, setQuery } from "../app/router.js";
import { inert, shortId } from "../app/text.js";
import { Empty } from "../parts/empty.js";
import { PageHead } from "../parts/head.js";
import { Actions, useActions } from "./job/actions.js";
import { barsOf } from "./job/bars.js";
import { JobFacts } from "./job/facts.js";
import { useJob } from "./job/following.js";
import { addressOf, nextOf, selected, stepsOf } from "./job/model.js";
import { Notices } from "./job/notices.js";
import { close, Panel } from "./job/panel.js";
import { MOST_NODES } from "./job/shape.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Tabs } from "../parts/tabs.js";

export const title = ({ id }) => `Job ${shortId(id)}`;

/** The tabs: their titles, and their modules, which are loaded when a tab is first opened. */
const TABS = {
  graph: ["Graph", () => import("./job/graph.js")],
  timeline: ["Timeline", () => import("./job/timeline.js")],
  table: ["Table", () => import("./job/tasks.js")],
  log: ["Log", () => import("../parts/log/log.js")],
  events: ["Events", () => import("./job/events.js")],
  definition: ["Definition", () => import("./job/definition.js")],
};
/** The tabs beside which the panel of a step opens. */
const WITH_PANEL = new Set(["graph", "timeline", "table", "definition"]);

export default function JobPage({ params, query }) {
  const { job, events, error, gone, connected, refresh } = useJob(params.id);
  const actions = useActions(job, refresh);
  if (!job) {
    return html`<${PageHead} title=${`Job ${shortId(params.id)}`} />
      ${gone ? html`<${Unknown} id=${params.id} />` : html`<${ProblemBox} error=${error} />`}`;
  }
  return html`<${PageHead} title=${inert(job.name)} actions=${html`<${Actions} ...${{ job, actions }} />`}>
      <p class="job-status" aria-live="polite">
        <${Status} of=${job.status} reason=${job.reason} />
        ${!connected && html`<span class="muted">The connection was lost. It is opened again by itself.</span>`}
      </p>
      <${JobFacts} job=${job} change=${actions.prioritize} />
    <//>
    ${gone && html`<p class="job-notice tone-failed" role="alert">This job has been deleted. The page shows what it had.</p>`}
    ${error && !gone && html`<${ProblemBox} error=${error} retry=${refresh} />`}
    <${ProblemBox} error=${actions.error} />
    <${Notices} job=${job} actions=${actions} />
    <${Sections} ...${{ job, events, query, actions }} />`;
}

function Unknown({ id }) {
  return html`<${Empty} text=${`There is no job ${inert(id)}. It may have been deleted.`} command="hodei jobs">
    <p><${Link} to="/jobs">All jobs<//></p>
  <//>`;
}

/** The tabs of a job, the most useful first: a command's log, the graph of several steps, the table of very many. */
function tabsOf(steps) {
  const single = steps.length === 1 && !steps[0].matrix;
  const first = single ? "log" : steps.length > MOST_NODES ? "table" : "graph";
  return [first, ...Object.keys(TABS).filter((one) => one !== first)];
}

function Sections({ job, events, query, actions }) {
  const steps = useMemo(() => stepsOf(job), [job.tasks]);
  const tabs = tabsOf(steps);
  const tab = tabs.includes(query.tab) ? query.tab : tabs[0];
  const chosen = useMemo(() => selected(steps, query), [steps, query.step, query.index]);
  const withPanel = chosen !== null && WITH_PANEL.has(tab);
  const needed = withPanel || tab === "timeline";
  const bars = useMemo(() => (needed ? barsOf(job, events) : null), [job, events, needed]);
  useJobKeys(job, steps, chosen, tab);
  useEffect(() => {
    const mark = document.querySelector(".job-node.chosen, .job-line.chosen");
    mark?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [chosen?.step.name, chosen?.task?.id]);
  const numbers = { table: job.tasks.length, events: events.length };
  return html`<${Tabs} items=${tabs.map((id) => [id, TABS[id][0], numbers[id]])} current=${tab} drops=${["show"]} />
    <div class=${`job-body ${withPanel ? "with-panel" : ""}`}>
      <div class="job-tab"><${Tab} key=${tab} name=${tab} ...${propsOf(tab, { job, events, bars, chosen, query })} /></div>
      ${withPanel && html`<${Panel} ...${{ job, chosen, bars, actions }} />`}
    </div>`;
}

/** What each tab is given. */
function propsOf(tab, { job, events, bars, chosen, query }) {
  const { step, index, attempt } = query;
  return {
    graph: { job, chosen: chosen?.step.name },
    timeline: { job, bars, chosen: chosen?.task?.id },
    log: { job, tasks: job.tasks, step, index, attempt },
    events: { job, events, step: chosen?.step.name },
  }[tab] ?? { job };
}

/** A tab, once its module is here. */
function Tab({ name, ...props }) {
  const [loaded, setLoaded] = useState({});
  useEffect(() => {
    TABS[name][1]().then((module) => setLoaded({ Content: module.default }), () => setLoaded({ error: NOT_LOADED }));
  }, []);
  if (loaded.error) return html`<${ProblemBox} error=${loaded.error} />`;
  return loaded.Content ? html`<${loaded.Content} ...${props} />` : html`<p class="muted">Loading …</p>`;
}

const NOT_LOADED = new Problem({
  title: "This part of the page could not be loaded", detail: "Reload the page: the platform may have been updated.",
});

function useJobKeys(job, steps, chosen, tab) {
  const walk = (direction) => () => {
    if (tab !== "graph" && tab !== "timeline") return false; // a table has keys of its own, and so has a log
    const entries = tab === "graph" ? steps : job.tasks;
    const place = tab === "graph" ? steps.indexOf(chosen?.step) : job.tasks.indexOf(chosen?.task);
    const next = nextOf(entries, place, undefined, direction);
    if (next) setQuery(tab === "graph" ? { step: next.name, index: null, attempt: null } : addressOf(next));
    return true;
  };
  const failure = () => {
    if (tab === "log") return false;
    const next = nextOf(job.tasks, job.tasks.indexOf(chosen?.task), (task) => task.status === "failed");
    if (next) setQuery({ ...addressOf(next), ...(WITH_PANEL.has(tab) ? {} : { tab: "table" }) });
    return true;
  };
  const leave = () => route.peek().query.step !== undefined && (close(), true);
  useKeys({ j: walk(1), k: walk(-1), f: failure, Escape: leave }, { f: "Next failed step", Escape: "Close the step" });
}
