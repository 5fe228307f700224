// Where the services are: the orchestrator that served the page told it, and the page's policy lets it call no others.
import { signal } from "@preact/signals";
import { noAnswer } from "./problem.js";

/** The service that gave no answer to the last call, such as "scheduler"; null when it answered. */
export const away = signal(null);

/** Milliseconds after which a worker without a heartbeat is lost. */
export const lease = () => 1000 * Number(document.querySelector('meta[name="hodei-lease"]').content);

let known = null;

/** The address of a path at a service. Raises a Problem if the page was served before the orchestrator had heard of the
 * service: loaded again, it may know more. */
export function addressOf(service, path) {
  const relative = path.replace(/^\//, "");
  if (service === "orchestrator") return new URL(relative, document.baseURI);
  known ??= JSON.parse(document.querySelector('meta[name="hodei-services"]')?.content ?? "{}");
  const base = known[service];
  if (!base) {
    away.value = service;
    throw noAnswer(service);
  }
  return new URL(relative, base.endsWith("/") ? base : `${base}/`);
}

/** Whether the page knows where a service is. */
export const knows = (service) => service === "orchestrator" || Boolean(known?.[service]);
