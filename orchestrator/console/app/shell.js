// What is around every page: navigation, search, banners, and the place where pages appear.
import { Questions } from "../parts/dialog.js";
import { Lasting, Toasts } from "../parts/toast.js";
import { Banners } from "./banners.js";
import { html, useEffect, useState } from "./html.js";
import { useKeys } from "./keys.js";
import { KeysHelp } from "./keys-help.js";
import { Navigation } from "./navigation.js";
import { PagePlace } from "./page.js";
import { navigate, route, written } from "./router.js";
import { NAVIGATION } from "./routes.js";
import { session } from "./session.js";

/** The whole console. */
export function Shell() {
  const [help, setHelp] = useState(false);
  const { path, query, hash } = route.value;
  const out = session.value === "none" && path !== "/sign-in";
  useEffect(() => {
    if (out) navigate("/sign-in", { query: { to: written({ path, query, hash }) }, replace: true });
  }, [out]);
  useKeys(
    {
      "?": () => setHelp(true),
      "/": () => document.getElementById("search")?.focus(),
      ...Object.fromEntries(NAVIGATION.map((one) => [`g ${one.letter}`, () => navigate(one.path)])),
    },
    {
      "/": "Search: type, then Enter",
      Escape: "Leave a field, or close a window",
      "?": "Show the keys",
      ...Object.fromEntries(NAVIGATION.map((one) => [`g ${one.letter}`, `Go to ${one.title}`])),
    },
  );
  return html`<a class="skip" href="#main">Skip to the page</a>
    <${Navigation} onHelp=${() => setHelp(true)} />
    <div class="column">
      <${Banners} />
      <${Lasting} />
      <main id="main" tabindex="-1">${out ? null : html`<${PagePlace} />`}</main>
    </div>
    <${Questions} />
    <${Toasts} />
    ${help && html`<${KeysHelp} onClose=${() => setHelp(false)} />`}`;
}
