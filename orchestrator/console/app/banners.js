// Banners above the page: what concerns every page.
import { html, useEffect } from "./html.js";
import { paused } from "./live.js";
import { away, knows } from "./platform.js";
import { session } from "./session.js";
import { clockAhead, formatDuration } from "./time.js";
import { outdated, stale } from "./version.js";

const NAMES = { orchestrator: "The orchestrator", scheduler: "The scheduler", worker_manager: "The worker manager" };

// A browser does not tell a page whether a service is away or refuses the page. By default services take those of
// loopback addresses only.
const mayRefuse = (service) => service !== "orchestrator" && !/^(localhost|.*\.localhost|127\..*|\[::1\])$/.test(location.hostname);

/** The banners that apply now. */
export function Banners() {
  const isAway = away.value;
  useEffect(() => {
    if (isAway === null) outdated();
  }, [isAway]);
  useEffect(() => {
    const onVisible = () => document.visibilityState === "visible" && outdated();
    document.addEventListener("visibilitychange", onVisible);
    return () => document.removeEventListener("visibilitychange", onVisible);
  }, []);
  return html`<div class="banners" role="region" aria-label="Notices" aria-live="polite">
    ${isAway !== null &&
    html`<p class="banner bad">
      ${NAMES[isAway]} does not answer${mayRefuse(isAway) ? `, or does not let pages of ${location.origin} call it (HODEI_CORS_ORIGINS)` : ""}.
      This page keeps what it has and tries again.
      ${!knows(isAway) && html` <button type="button" class="link" onClick=${() => location.reload()}>Load the page again</button>`}
    </p>`}
    ${stale.value &&
    html`<p class="banner">
      The console was updated.
      <button type="button" class="link" onClick=${() => location.reload()}>Load the new version</button>
    </p>`}
    ${session.value === "off" &&
    html`<p class="banner warn">Access is off: whoever reaches this address may run commands on your workers.</p>`}
    ${paused.value &&
    html`<p class="banner">
      Updates are paused.
      <button type="button" class="link" onClick=${() => (paused.value = false)}>Resume</button>
    </p>`}
    ${Math.abs(clockAhead()) > 5000 &&
    html`<p class="banner warn">
      This machine's clock differs from the platform's by ${formatDuration(Math.abs(clockAhead()))}. Times here are the platform's.
    </p>`}
  </div>`;
}
