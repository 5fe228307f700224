// A job's priority, which can be changed until the job is over.

import { html } from "../../app/html.js";
import { lackingFor } from "../../app/role.js";
import { isOver } from "./model.js";

const PRIORITIES = ["low", "normal", "high", "critical"];

export function Priority({ job, change }) {
  if (isOver(job)) return job.priority;
  const onChange = (event) => change(event.target.value);
  return html`<select aria-label="Priority" value=${job.priority} onChange=${onChange} ...${lackingFor("orchestrator PATCH /api/v1/jobs/{id}", job)}>
    ${PRIORITIES.map((one) => html`<option key=${one} value=${one} selected=${one === job.priority}>${one}</option>`)}
  </select>`;
}
