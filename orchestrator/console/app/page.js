// The place where pages appear: loads the module of the page that the address names, and shows it.
import { Problem } from "./problem.js";
import { ProblemBox } from "../parts/problem.js";
import { forgetCalls } from "./api.js";
import { html, useEffect, useErrorBoundary, useRef, useState } from "./html.js";
import { route } from "./router.js";
import { findPage } from "./routes.js";
import { outdated } from "./version.js";

let opened = 0;

/** The open page. A page of another path is another component; changes of the query alone keep it. */
export function PagePlace() {
  const { path, pattern, params, query } = route.value;
  const [shown, setShown] = useState(null);
  useEffect(() => {
    let wanted = true;
    findPage(path)
      .load()
      .then(
        (module) => wanted && setShown({ path, pattern, module }),
        (error) => wanted && setShown({ path, pattern, error }),
      );
    return () => {
      wanted = false;
    };
  }, [path]);
  const ready = shown?.path === path;
  const title = ready && !shown.error ? shown.module.title?.(params, query) : "";
  useEffect(() => {
    document.title = title ? `${title} · Hodei` : "Hodei";
  }, [title]);
  if (!shown) return null;
  if (shown.error) return html`<${NotLoaded} error=${shown.error} />`;
  if (!ready) return html`<p class="loading" aria-hidden="true"></p>`;
  return html`<${Page} key=${path} module=${shown.module} ...${{ params, query }} />`;
}

function Page({ module, params, query }) {
  const place = useRef(null);
  const [error, again] = useErrorBoundary((raised) => console.error(raised));
  useState(forgetCalls);
  useEffect(() => {
    // Screen readers read the new heading, unless a field took the focus. The first page leaves it to the browser.
    const { current } = place;
    if (opened > 0 && !current?.contains(document.activeElement)) current?.querySelector("h1")?.focus({ preventScroll: true });
    opened += 1;
  }, []);
  if (error) return html`<${ProblemBox} error=${asProblem(error)} retry=${again} />`;
  return html`<div class="page" ref=${place}><${module.default} params=${params} query=${query} /></div>`;
}


function NotLoaded({ error }) {
  useEffect(() => void outdated(), []);
  return html`<${ProblemBox}
    error=${new Problem({ title: "This page could not be loaded", detail: String(error.message ?? error) })}
    retry=${() => location.reload()}
  />`;
}

const asProblem = (error) =>
  error instanceof Problem ? error : new Problem({ status: 599, title: "This page failed", detail: String(error?.message ?? error) });
