// The tab Timeline: for each task a line, and on it a bar for each attempt: waiting, placed and running.

import { html, useMemo, useState } from "../../app/html.js";
import { inert, plural } from "../../app/text.js";
import { formatDuration, now } from "../../app/time.js";
import { Icon } from "../../parts/icon.js";
import { iconOf, toneOf } from "../../parts/status.js";
import { extentOf, roomy, ticksOf, tickText } from "./bars.js";
import { StepLink } from "./links.js";
import { isKept, isOver, statusOf, stepsOf, toggled } from "./model.js";
import { exitInWords, titleOf } from "./words.js";

/** A matrix with more tasks is one line until it is opened. */
const MOST_TASKS = 8;
const PARTS = ["waiting", "placed", "running"];

/** `bars`: what `barsOf` returns; `chosen`: the id of the task whose panel is open. */
export default function Timeline({ job, bars, chosen }) {
  const [opened, setOpened] = useState(new Set());
  const steps = useMemo(() => stepsOf(job), [job]);
  const grouped = useMemo(() => barsOfMatrices(steps, bars), [steps, bars]);
  const [from, to] = extentOf(job, bars, isOver(job) ? 0 : now.value);
  const span = isOver(job) ? to - from : roomy(to - from);
  const scale = { from, span, until: to };
  const ofJob = useMemo(() => [barOf(job)], [job]);
  const toggle = (name) => setOpened((old) => toggled(old, name));
  return html`<div class="job-timeline" data-keeps-scroll>
    <${Legend} />
    <div class="job-lines">
      <${Axis} span=${span} />
      <${Line} name=${() => html`<span class="muted">the job</span>`} about="" bars=${ofJob} scale=${scale} />
      ${steps.map(({ name, tasks }) => {
        const group = grouped.get(name);
        const open = !group || opened.has(name);
        const ofTask = (task) => html`<${Line} key=${task.id} name=${() => html`<${TaskName} task=${task} inner=${!!group} />`}
          bars=${bars.get(task.id)} about=${task.status} chosen=${task.id === chosen} note=${noteOf(job, task)} scale=${scale} />`;
        const ofGroup = html`<${Line} key=${name} name=${() => html`<${Group} ...${{ name, tasks, open, toggle }} />`}
          bars=${group} about=${`${open} ${statusOf(tasks)}`} dense=${true} scale=${scale} />`;
        return [group && ofGroup, open && tasks.map(ofTask)];
      })}
    </div>
  </div>`;
}

/** The bars of all tasks of each large matrix, by the name of its step. */
function barsOfMatrices(steps, bars) {
  const large = steps.filter(({ tasks }) => tasks.length > MOST_TASKS);
  return new Map(large.map(({ name, tasks }) => [name, tasks.flatMap((task) => bars.get(task.id))]));
}

/** What a line without bars tells in their place. */
function noteOf(job, task) {
  if (isKept(job, task)) return "kept from the earlier job";
  return task.status === "skipped" ? "skipped" : null;
}

function Legend() {
  const swatch = (part) => html`<svg width="18" height="10" aria-hidden="true"><rect class=${`job-bar ${part}`} width="18" height="10" rx="2" /></svg>`;
  return html`<p class="job-legend">
    ${PARTS.map((part) => html`<span key=${part}>${swatch(part)} ${part}</span>`)}
    <span><span class="tone-failed"><${Icon} name="cross" /></span> attempt failed</span>
  </p>`;
}

function Axis({ span }) {
  return html`<div class="job-line job-axis" aria-hidden="true">
    <span></span>
    <svg height="18">
      ${ticksOf(span).map((at) => html`<g key=${at}>
        <line x1=${percent(at / span)} x2=${percent(at / span)} y1="13" y2="18" />
        <text x=${percent(at / span)} y="11" text-anchor=${at === 0 ? "start" : at / span > 0.95 ? "end" : "middle"}>${tickText(at, span)}</text>
      </g>`)}
    </svg>
  </div>`;
}

function Group({ name, tasks, open, toggle }) {
  return html`<button type="button" class="quiet job-toggle" aria-expanded=${open} onClick=${() => toggle(name)}>
    <${Icon} name="chevron" class=${open ? "down" : ""} /><${Mark} status=${statusOf(tasks)} />
    <span>${inert(name)}</span> <span class="muted">${tasks.length}</span>
  </button>`;
}

function TaskName({ task, inner }) {
  const title = inert(titleOf(task));
  return html`<${StepLink} task=${task} class=${inner ? "job-inner" : ""} title=${title}>
    <${Mark} status=${task.status} /><span>${title}</span>
  <//>`;
}

function Mark({ status }) {
  return html`<span class=${`tone-${toneOf(status)}`}><${Icon} name=${iconOf(status)} /><span class="visually-hidden">${status}: </span></span>`;
}

/** One line, which is drawn again only when its bars or the scale change, and each second while a bar lasts. `name()` draws
 *  its name, which depends on `about`. `dense`: many bars on one line, which shine through each other. */
function Line({ name, about, bars, scale, chosen = false, dense = false, note = null }) {
  const until = bars.some(lasts) ? scale.until : null;
  return useMemo(
    () => html`<${Drawn} ...${{ name: name(), bars, scale, chosen, dense, note }} />`,
    [about, bars, scale.from, scale.span, until, chosen, note],
  );
}

function lasts(bar) {
  return PARTS.some((part) => bar[part]?.[1] === null);
}

function Drawn({ name, bars, scale, chosen, dense, note }) {
  const label = dense ? plural(bars.length, "attempt") : bars.map(told).join("; ") || note || "not begun";
  return html`<div class=${`job-line ${chosen ? "chosen" : ""}`}>
    <span class="job-line-name">${name}</span>
    <svg height="20" class=${dense ? "dense" : ""} role="img" aria-label=${label}>
      ${bars.map((bar) => html`<${Bar} key=${`${bar.attempt} ${bar.execution}`} bar=${bar} scale=${scale} />`)}
      ${note && bars.length === 0 && html`<text class="muted" x="0" y="14">${note}</text>`}
    </svg>
  </div>`;
}

function Bar({ bar, scale }) {
  const failed = ["failed", "timed_out", "lost"].includes(bar.status);
  const last = bar.running ?? bar.placed ?? bar.waiting;
  return html`<g>
    <title>${told(bar)}</title>
    ${PARTS.map(
      (part) => bar[part] && html`<rect key=${part} class=${`job-bar ${part}`} y="4" height="12" rx="2" ...${across(bar[part], scale)} />`,
    )}
    ${failed && last?.[1] && html`<${Cross} x=${percent((last[1] - scale.from) / scale.span)} />`}
  </g>`;
}

function Cross({ x }) {
  return html`<svg class="job-failed" ...${{ x }} y="5" width="10" height="10" viewBox="0 0 10 10" overflow="visible" aria-hidden="true">
    <path d="M2 2l6 6M8 2l-6 6" />
  </svg>`;
}

/** Where a part of a bar is: from its start to its end, or to now. */
function across([from, to], { from: first, span, until }) {
  const x = Math.max(0, (from - first) / span);
  return { x: percent(x), width: percent(Math.max(0, ((to ?? until) - first) / span - x)) };
}

function percent(share) {
  return `${Math.round(share * 100_000) / 1000}%`;
}

function told(bar) {
  const lasted = PARTS.filter((part) => bar[part]).map((part) => {
    const [from, to] = bar[part];
    return to === null ? part : `${part} ${formatDuration(to - from)}`;
  });
  const end = bar.status === "failed" ? exitInWords(bar.exit_code, bar.reason) || bar.status : bar.status;
  const parts = [bar.attempt && `attempt ${bar.attempt}`, ...lasted, bar.worker && `on ${bar.worker}`, end];
  return inert(parts.filter(Boolean).join(", "));
}

/** The job itself as a bar. */
function barOf({ created_at: created, started_at: started, finished_at: finished, status }) {
  const time = (text) => (text ? Date.parse(text) : null);
  return {
    attempt: null, execution: null, worker: null, status: status === "failed" ? null : status, reason: null, exit_code: null,
    placed: null,
    waiting: [time(created), time(started ?? finished)],
    running: started ? [time(started), time(finished)] : null,
  };
}
