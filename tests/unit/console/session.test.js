// Signing in: whether it was the token, or the cookie, that was not taken.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ended, session, renewed, signIn, signOut, startSession } from "../../../orchestrator/console/app/session.js";

globalThis.document = { baseURI: "http://localhost:8080/", querySelector: () => null };
const answer = (status, body = {}) => new Response(JSON.stringify(body), { status });
const bearer = () => answer(200, { token: "t", expires_at: new Date(Date.now() + 3_600_000).toISOString() });

/** The orchestrator answers this to a token, and to the cookie of a session. */
function answering(toToken, toCookie) {
  globalThis.fetch = async (url, { headers }) => (headers.Authorization ? toToken() : toCookie(url));
}

test("a token that is not valid is told from a cookie that the browser did not send", async () => {
  answering(() => answer(401), () => answer(401));
  await assert.rejects(signIn("wrong"), { status: 401 });

  answering(() => answer(200), () => answer(401));
  await assert.rejects(signIn("right"), (error) => error.status !== 401 && !error.offline && /cookies/.test(error.detail));
  assert.equal(session.value, "none");
});

test("a question that was asked before the session was there does not refuse it", async () => {
  const early = {};
  early.answered = new Promise((done) => (early.answer = done));
  answering(() => answer(200), () => early.answered);
  const started = startSession();
  const signing = signIn("right");
  await new Promise((done) => setImmediate(done));
  answering(() => answer(200), bearer);
  early.answer(answer(401));

  await Promise.all([started, signing]);
  assert.equal(session.value, "open");
});

test("a session that ends under the page says why, and one that the person ended does not", async () => {
  answering(() => answer(200), bearer);
  await signIn("right");
  assert.equal(ended.value, null);
  answering(() => answer(200), () => answer(401));
  assert.equal(await renewed(), false);
  assert.equal(session.value, "none");
  assert.match(ended.value, /session has ended, or its token has expired or was revoked/);

  answering(() => answer(200), bearer);
  await signIn("right");
  assert.equal(ended.value, null);
  answering(() => answer(200), () => new Response(null, { status: 204 }));
  await signOut();
  assert.equal(ended.value, null);
});

test("a session that cannot be ended goes on, and one that is over already is ended", async () => {
  answering(() => answer(200), bearer);
  await signIn("right");
  answering(() => answer(200), () => answer(503));
  await assert.rejects(signOut(), { status: 503 });
  assert.equal(session.value, "open");
  answering(() => answer(200), () => answer(401));
  await signOut();
  assert.equal(session.value, "none");
});
