// One request with the page's proof of who it acts for: below every call and every stream.
import { away } from "./platform.js";
import { noAnswer } from "./problem.js";
import { proof, renewed } from "./session.js";
import { hearDate } from "./time.js";

/** Send a request with the page's proof; once more, with a new bearer, if the first is refused. Raises a Problem when no
 * answer comes. */
export async function fetched(service, url, init) {
  const send = async () => fetch(url, { ...init, headers: { ...init.headers, ...(await proof()) }, credentials: "omit" });
  let response;
  try {
    response = await send();
    if (response.status === 401 && (await renewed())) response = await send();
  } catch (error) {
    if (error.name === "AbortError" || error.name === "Problem") throw error;
    away.value = service;
    throw noAnswer(service);
  }
  if (away.peek() === service) away.value = null;
  hearDate(response.headers.get("Date"));
  return response;
}
