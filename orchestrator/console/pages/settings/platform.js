// The parts of the platform: where they are, which versions they have, and what is on.
import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { words } from "../../app/text.js";
import { ProblemBox } from "../../parts/problem.js";
import { ScrollBox } from "../../parts/scroll-box.js";
import { Status } from "../../parts/status.js";

export function Platform() {
  const { data: answer, error, refresh } = useLive(({ signal }) => get("orchestrator", "/api/v1/platform", { signal }), [], { every: 5000 });
  const data = answer?.data;
  return html`<${ProblemBox} error=${error} retry=${refresh} />
    ${data && html`<${ScrollBox} label="Services">
      <table>
        <thead><tr><th scope="col">Service</th><th scope="col">Answers</th><th scope="col">Version</th><th scope="col">Address</th></tr></thead>
        <tbody>
          ${data.services.map((one) => html`<tr key=${one.name}>
            <td>${words(one.name)}</td>
            <td><${Status} of=${one.version ? "healthy" : "unhealthy"} reason=${one.version ? null : "no answer"} /></td>
            <td>${one.version ?? "–"}</td>
            <td>${one.url ? html`<code>${one.url}</code> <a href=${`${one.url}/swagger-ui`} target="_blank" rel="noopener">API</a>` : "–"}</td>
          </tr>`)}
        </tbody>
      </table>
    <//>
    <dl class="fleet-facts">
      <div><dt>Access</dt><dd>${data.access}</dd></div>
      <div><dt>Namespace</dt><dd><code>${data.namespace}</code></dd></div>
      ${Object.entries(data.features).map(([name, on]) => html`<div key=${name}><dt>${name.charAt(0).toUpperCase() + name.slice(1)}</dt><dd>${on ? "on" : "off"}</dd></div>`)}
    </dl>`}`;
}
