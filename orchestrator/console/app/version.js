// The version of the console that this page runs, and whether the orchestrator has another one by now.
import { signal } from "@preact/signals";

/** True once the orchestrator serves another version of the console than this page runs. */
export const stale = signal(false);

/** Ask the orchestrator for its version of the console. Sets `stale`. */
export async function outdated() {
  const own = document.querySelector('meta[name="hodei-console"]')?.content;
  try {
    const response = await fetch(new URL(".", document.baseURI), { headers: { Accept: "application/json" } });
    const { console_version: served } = await response.json();
    if (served && own && served !== own) stale.value = true;
  } catch {
    // The orchestrator is away, which the banner of that shows already.
  }
}
