// The navigation beside the page (above it on narrow screens): pages, search, zone, theme, and who is signed in.
import { Icon } from "../parts/icon.js";
import { lasting } from "../parts/toast.js";
import { get } from "./api.js";
import { batch, html, useEffect } from "./html.js";
import { useLive } from "./live.js";
import { ofAction } from "./problem.js";
import { remembered } from "./remembered.js";
import { role as known, token } from "./role.js";
import { href, navigate, route } from "./router.js";
import { NAVIGATION } from "./routes.js";
import { session, signOut } from "./session.js";
import { inert } from "./text.js";
import { zone } from "./time.js";

/** "auto", "light" or "dark". */
const theme = remembered("theme", "auto");
const NEXT_THEME = { auto: "light", light: "dark", dark: "auto" };
const THEME_ICON = { auto: "auto", light: "sun", dark: "moon" };

export function Navigation({ onHelp }) {
  useEffect(
    () =>
      theme.subscribe((value) => {
        if (value === "auto") delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = value;
      }),
    [],
  );
  const { path } = route.value;
  const section = `/${path.split("/")[1]}`;
  if (path === "/sign-in") return null;
  return html`<header class="side">
    <a class="brand" href=${href("/")}><${Cloud} /> Hodei</a>
    <${Search} />
    <nav aria-label="Pages">
      ${NAVIGATION.map(
        (one) => html`<a key=${one.path} href=${href(one.path)} aria-current=${section === one.path ? "page" : undefined}>
          <${Icon} name=${one.title.toLowerCase()} />${one.title}
        </a>`,
      )}
    </nav>
    <div class="tools">
      <button type="button" class="quiet" title="The zone of all times" onClick=${() => (zone.value = zone.value === "utc" ? "local" : "utc")}>
        <${Icon} name="clock" /> ${zone.value === "utc" ? "UTC" : "Local time"}
      </button>
      <button type="button" class="quiet" title="Light, dark, or as the system" onClick=${() => (theme.value = NEXT_THEME[theme.value])}>
        <${Icon} name=${THEME_ICON[theme.value] ?? "auto"} /> ${{ auto: "System theme", light: "Light", dark: "Dark" }[theme.value]}
      </button>
      <button type="button" class="quiet" onClick=${onHelp}><kbd>?</kbd> Keys</button>
      ${session.value === "open" && html`<${Who} />`}
    </div>
  </header>`;
}

function Who() {
  const { data } = useLive(({ signal }) => get("orchestrator", "/api/v1/whoami", { signal }), [], { every: 0 });
  const { id, name, role } = data?.data ?? {};
  useEffect(() => {
    const tell = (id, role) => batch(() => ([token.value, known.value] = [id, role]));
    tell(id ?? null, role ?? null);
    return () => tell(null, null);
  }, [id, role]);
  return html`${name && html`<p class="who">${inert(name)} <span class="muted">${role}</span></p>`}
    <button type="button" class="quiet" onClick=${() => signOut().catch(stillIn)}>Sign out</button>`;
}

const stillIn = (raised) => lasting({ text: "You are still signed in: the session could not be ended.", error: ofAction(raised) });

function Search() {
  const { path, query } = route.value;
  const onSubmit = (event) => {
    event.preventDefault();
    const q = event.currentTarget.elements.q.value.trim();
    if (q) navigate("/search", { query: { q } });
  };
  return html`<form class="search" role="search" onSubmit=${onSubmit}>
    <${Icon} name="search" />
    <input id="search" name="q" type="search" placeholder="Search, then Enter" aria-label="Search jobs, pipelines, schedules and workers"
      autocomplete="off" spellcheck=${false} value=${path === "/search" ? query.q : ""} />
    <kbd aria-hidden="true">/</kbd>
  </form>`;
}

function Cloud() {
  return html`<svg class="cloud" viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
    <rect width="32" height="32" rx="8" />
    <path d="M10 22a5 5 0 0 1-.6-9.96A7 7 0 0 1 22.7 13 4.6 4.6 0 0 1 22 22z" />
  </svg>`;
}
