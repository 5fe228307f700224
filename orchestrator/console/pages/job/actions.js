// What can be done with a job: run it again, cancel it, delete it, change its priority, decide about its approvals.

import { useAct } from "../../app/act.js";
import { del, patch, post } from "../../app/api.js";
import { html, useState } from "../../app/html.js";
import { Problem } from "../../app/problem.js";
import { allows, lacking, lackingFor } from "../../app/role.js";
import { navigate } from "../../app/router.js";
import { inert, plural } from "../../app/text.js";
import { confirm } from "../../parts/dialog.js";
import { Link } from "../../parts/link.js";
import { isOver } from "./model.js";

/** The actions of a job's page, each a function, with `busy`, and `error`: what the last one ran into. `errorOf(task)` is that
 *  of a decision about this task. `refresh` asks for the job again. */
export function useActions(job, refresh) {
  const { act, busy, error } = useAct(refresh);
  const [decided, setDecided] = useState(null);
  const path = `/api/v1/jobs/${job?.id}`;
  return {
    busy,
    error,
    errorOf: (task) => (task.id === decided ? error : null),
    /** From the start, from "failed", or from the step of this name. */
    rerun: (from = "start") =>
      act(async (here) => {
        const { data } = await post("orchestrator", `${path}/rerun`, { body: { from } });
        if (here()) navigate(`/jobs/${data.id}`);
      }, `The new job of ${inert(job?.name ?? "")} was created.`),
    cancel: async () => {
      const call = job.stopping ? endCleanup : stop;
      if (await confirm(job.stopping ? END_CLEANUP : CANCEL)) await act(() => call(job), "The job is being stopped.");
    },
    remove: async () => {
      if (!(await confirm(DELETE))) return;
      await act(async (here) => {
        await del("orchestrator", path);
        if (here()) navigate("/jobs");
      }, "The job was deleted.");
    },
    prioritize: (priority) => act(() => patch("orchestrator", path, { body: { priority } }), `The priority is ${priority}.`),
    decide: (task, approved, body) => {
      setDecided(task.id);
      const verb = approved ? "approve" : "reject";
      return act(
        () => post("orchestrator", `/api/v1/tasks/${task.id}/${verb}`, { body }),
        `${inert(task.name)} was ${approved ? "approved" : "rejected"}.`,
      );
    },
  };
}

/** Cancel a job that is not being stopped. One that began to stop meanwhile is left as it is: that is the call for many jobs,
 *  since a second cancel of the job alone would end its clean-up, about which nobody was asked. */
export async function stop({ id }) {
  const { data } = await post("orchestrator", "/api/v1/jobs/cancel", { body: { ids: [id] } });
  const [refused] = data.refused;
  if (refused) throw new Problem({ status: 409, title: "The job was left as it is", detail: refused.detail });
}

/** End the clean-up of a job that is being stopped. */
export async function endCleanup({ id }) {
  await post("orchestrator", `/api/v1/jobs/${id}/cancel`);
}

const CANCEL = {
  title: "Cancel this job?", text: "What runs is stopped, and what waits does not start.", action: "Cancel the job",
  danger: true,
};
const END_CLEANUP = {
  title: "End the clean-up as well?", text: "Steps with when: always are stopped, too.", action: "End the clean-up",
  danger: true,
};
const DELETE = {
  title: "Delete this job?", text: "The job, its timeline and its logs are deleted for good.", action: "Delete the job",
  danger: true,
};

const RERUN = "orchestrator POST /api/v1/jobs/{id}/rerun";

/** The buttons in the head of the page. */
export function Actions({ job, actions }) {
  const { busy, rerun, cancel, remove } = actions;
  const again = job.tasks.filter((task) => task.status !== "succeeded" && task.reason !== "condition").length;
  const changes = allows("orchestrator POST /api/v1/jobs") && html`<${Link} to="/run" query=${{ from: job.id }} class="button">Run with changes<//>`;
  if (!isOver(job)) {
    return html`<button type="button" class="danger" disabled=${busy} onClick=${cancel} ...${lackingFor("orchestrator POST /api/v1/jobs/{id}/cancel", job)}>
        ${job.stopping ? "End the clean-up" : "Cancel"}
      </button>
      ${changes}`;
  }
  const failed = job.status !== "succeeded" && job.tasks.length > 1 && again > 0;
  return html`${failed &&
    html`<button type="button" class="primary" disabled=${busy} title=${`Runs ${plural(again, "task")} again`} onClick=${() => rerun("failed")}
      ...${lackingFor(RERUN, job)}>
      Rerun what failed
    </button>`}
    <button type="button" class=${failed ? "" : "primary"} disabled=${busy} onClick=${() => rerun()} ...${lackingFor(RERUN, job)}>Rerun</button>
    ${changes}
    <button type="button" class="danger" disabled=${busy} onClick=${remove} ...${lacking("orchestrator DELETE /api/v1/jobs/{id}")}>Delete</button>`;
}
