// Who the page acts for. The token is sent once, to open a session; the cookie is out of reach of scripts; the bearers
// that it is exchanged for are kept in this module and nowhere else.
import { signal } from "@preact/signals";
import { noAnswer, Problem, problemOf } from "./problem.js";

/** "off" (no request needs a token), "open" (signed in), "none" (to sign in), or "unknown" before the first answer. */
export const session = signal("unknown");

/** Why the session that this page had is over, in words; null if it had none, or the person ended it. */
export const ended = signal(null);

const EARLY = 60_000;
let held = { token: null, until: 0 };
let exchange = null;

const address = (rest = "") => new URL(`api/v1/session${rest}`, document.baseURI);

/** Learn whether access is on, and whether this browser has a session. */
export async function startSession() {
  const access = document.querySelector('meta[name="hodei-access"]')?.content;
  if (access === "off") session.value = "off";
  else await bearer().catch(() => null);
}

/** The headers that prove who the page acts for: none with access off. Raises a Problem without a session. */
export async function proof() {
  if (session.peek() === "off") return {};
  return { Authorization: `Bearer ${await bearer()}` };
}

/** A service refused the bearer: take another for the next call. False if that is not possible. */
export async function renewed() {
  held = { token: null, until: 0 };
  return bearer().then(
    () => true,
    () => false,
  );
}

/** Open a session with a token. Raises a Problem: with the status 401 if the token is not valid, and NO_COOKIE if it is, but
 * the browser does not send the cookie of the session. */
export async function signIn(token) {
  await ask(address(), "POST", { Authorization: `Bearer ${token}` });
  held = { token: null, until: 0 };
  await exchange?.catch(() => null); // it was asked for without the new cookie
  await bearer().catch((error) => {
    throw error.status === 401 ? new Problem(NO_COOKIE) : error;
  });
}

const NO_COOKIE = {
  status: null, // it is none of an answer
  title: "The browser did not keep the session",
  detail: "The token is valid. Allow cookies for this address, and open the console at the platform's own address (HODEI_PUBLIC_URL).",
};

const ENDED = "You were signed out: the session has ended, or its token has expired or was revoked.";

/** End the session, at every service. Raises a Problem if it goes on: the person is still signed in then. */
export async function signOut() {
  await ask(address(), "DELETE").catch((error) => {
    if (error.status !== 401) throw error; // it is over already
  });
  held = { token: null, until: 0 };
  session.value = "none";
}

function bearer() {
  if (held.token && Date.now() < held.until - EARLY) return Promise.resolve(held.token);
  exchange ??= exchanged().finally(() => {
    exchange = null;
  });
  return exchange;
}

async function exchanged() {
  const asked = Date.now();
  try {
    const response = await ask(address("/bearer"), "POST");
    const { token, expires_at: expires } = await response.json();
    const heard = Date.parse(response.headers.get("Date") ?? "") || asked;
    held = { token, until: asked + Date.parse(expires) - heard }; // by this machine's clock, whatever it says
    session.value = "open";
    ended.value = null;
    return token;
  } catch (error) {
    if (error.status === 409) session.value = "off";
    if (error.status === 401) {
      if (session.peek() === "open") ended.value = ENDED;
      session.value = "none";
    }
    throw error;
  }
}

async function ask(url, method, headers = {}) {
  let response;
  try {
    response = await fetch(url, { method, headers, credentials: "same-origin" });
  } catch {
    throw noAnswer("orchestrator");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}
