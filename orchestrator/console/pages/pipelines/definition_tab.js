// A pipeline as the text of its file, to be copied.
import { html, useMemo } from "../../app/html.js";
import { inert } from "../../app/text.js";
import { Copy } from "../../parts/copy.js";
import { pipelineText } from "./definition.js";

export function Definition({ pipeline }) {
  const text = useMemo(() => pipelineText(pipeline), [pipeline.id, pipeline.version]);
  return html`<section class="definition" aria-label="Definition">
    <p class="buttons">
      <${Copy} text=${text} label="Copy the YAML" word="Copy" />
      <span class="muted">The same as <code>hodei pipelines export</code>.</span>
    </p>
    <pre tabindex="0">${inert(text)}</pre>
  </section>`;
}
