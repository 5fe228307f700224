// Search: jobs, pipelines, schedules and workers by the beginning of their name, or by an id.
import { html, useEffect } from "../app/html.js";
import { useLive } from "../app/live.js";
import { navigate } from "../app/router.js";
import { isId } from "../app/searching.js";
import { inert, shortId } from "../app/text.js";
import { Empty } from "../parts/empty.js";
import { PageHead } from "../parts/head.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Time } from "../parts/time.js";
import { find } from "./search/find.js";

export const title = (_params, { q = "" }) => (q ? `Search: ${inert(q)}` : "Search");

export default function Search({ query: { q = "" } }) {
  const { data, error, loading, refresh } = useLive(({ signal }) => find(q, signal), [q], { every: 0 });
  const hits = data?.text === q ? data.groups.flatMap(({ kind, found }) => found.map((one) => ({ kind, one }))) : null;
  const only = hits?.length === 1 && isId(q) ? hits[0] : null;
  useEffect(() => {
    if (only) navigate(`${only.kind.page}/${only.one.id}`, { replace: true });
  }, [only?.one.id]);
  return html`<${PageHead} title="Search" />
    <${ProblemBox} error=${error} retry=${refresh} />
    ${q === "" && html`<${Empty} text="Type the beginning of a name, an id, or its last 8 characters." />`}
    ${q !== "" && !error && hits?.length === 0 && html`<${Empty} text=${`Nothing has an id or a name that begins with “${inert(q)}”.`} command=${`hodei jobs --name '${inert(q).replaceAll("'", "")}*'`} />`}
    <div aria-busy=${loading}>
      ${data?.groups.map(({ kind, found, more }) => found.length > 0 && html`<${Group} key=${kind.kind} ...${{ kind, found, more }} />`)}
    </div>`;
}

function Group({ kind, found, more }) {
  return html`<section class="hits">
    <h2>${kind.title}</h2>
    <ul class="lines">
      ${found.map(
        (one) => html`<li key=${one.id}>
          <${Link} to=${`${kind.page}/${one.id}`}>${inert(one.name || shortId(one.id))}<//>
          <code class="muted">${shortId(one.id)}</code>
          ${one.status && html`<${Status} of=${one.status} reason=${one.reason} />`}
          <${Time} at=${one.created_at ?? one.registered_at} relative />
        </li>`,
      )}
    </ul>
    ${more && html`<p class="help">There are more: type more of the name.</p>`}
  </section>`;
}
