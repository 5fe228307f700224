// Sign in with a token; then back to where one was.
import { html, useEffect, useState } from "../app/html.js";
import { navigate, placeOf } from "../app/router.js";
import { ended, session, signIn } from "../app/session.js";
import { inert } from "../app/text.js";
import { Field } from "../parts/form.js";
import { ProblemBox } from "../parts/problem.js";

export const title = () => "Sign in";

export default function SignIn({ query }) {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const signedIn = session.value === "open" || session.value === "off";
  useEffect(() => {
    if (signedIn) goBack(query.to);
  }, [signedIn]);
  const onSubmit = async (event) => {
    event.preventDefault();
    const field = event.currentTarget.elements.token;
    setBusy(true);
    setProblem(null);
    try {
      await signIn(field.value.trim());
    } catch (error) {
      setProblem(error);
      setBusy(false);
      field.select();
    }
  };
  const wrong = problem?.status === 401 ? `This token is not valid${whyOf(problem)}.` : null;
  return html`<form class="sign-in" onSubmit=${onSubmit}>
    <h1 tabindex="-1">Sign in</h1>
    ${ended.value && html`<p class="notice" role="status">${ended.value}</p>`}
    <${Field} label="Token" error=${wrong} help="The administrator's first token is in the file .hodei/token, next to where hodei up was started.">
      <input name="token" type="password" autocomplete="off" spellcheck=${false} required autofocus />
    <//>
    ${problem && !wrong && html`<${ProblemBox} error=${problem} />`}
    <button type="submit" class="primary" disabled=${busy}>${busy ? "Signing in…" : "Sign in"}</button>
    <p class="help">The token is sent once. The browser then keeps a session of at most twelve hours, which you can end at any time.</p>
  </form>`;
}

/** What the service says about a token; not what it says about the header, which people who fill in a form do not write. */
function whyOf({ detail }) {
  const why = detail.split("; send Authorization:")[0];
  return why ? `: ${inert(why)}` : "";
}

function goBack(to) {
  const { path, query, hash } = placeOf(to);
  navigate(path === "/sign-in" ? "/" : path, { query, hash, replace: true });
}
