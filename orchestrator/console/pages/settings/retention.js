// How long things are kept, and the settings that decide it.
import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { ProblemBox } from "../../parts/problem.js";
import { ScrollBox } from "../../parts/scroll-box.js";

/** The name of a setting of retention in words: `HODEI_RETENTION_JOBS_PER_PIPELINE` → "Jobs per pipeline". */
export function nameOf(variable) {
  const words = variable.replace("HODEI_RETENTION_", "").toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function Retention() {
  const { data, error, refresh } = useLive(({ signal }) => get("orchestrator", "/api/v1/platform", { signal }), [], { every: 0 });
  return html`<p class="help">The services read these settings from their environment when they start.</p>
    <${ProblemBox} error=${error} retry=${refresh} />
    ${data && html`<${ScrollBox} label="Retention">
      <table>
        <thead><tr><th scope="col">What</th><th scope="col">Kept for, or how many</th><th scope="col">Setting</th></tr></thead>
        <tbody>
          ${Object.entries(data.data.retention).map(([variable, text]) => html`<tr key=${variable}>
            <td>${nameOf(variable)}</td><td>${text}</td><td><code>${variable}</code></td>
          </tr>`)}
        </tbody>
      </table>
    <//>`}`;
}
