// Tabs as links: each has an address, and the browser's history works.
import { html } from "../app/html.js";
import { href, route } from "../app/router.js";

/** `<Tabs items=${[["graph", "Graph"], ["log", "Log", 3]]} current="graph"/>`: a third element is shown as a number.
 * The chosen tab is the query's `param`; other parameters stay, but those in `drops`. The first tab needs none. */
export function Tabs({ items, current, param = "tab", drops = [], label = "Sections" }) {
  const { path, query } = route.value;
  const kept = Object.fromEntries(Object.entries(query).filter(([key]) => !drops.includes(key)));
  return html`<nav class="tabs" aria-label=${label} data-keeps-scroll>
    ${items.map(
      ([id, title, number], index) => html`<a
        key=${id}
        href=${href(path, { ...kept, [param]: index === 0 ? null : id })}
        aria-current=${id === current ? "page" : undefined}
        >${title}${number === undefined ? null : html` <span class="number">${number}</span>`}</a
      >`,
    )}
  </nav>`;
}
