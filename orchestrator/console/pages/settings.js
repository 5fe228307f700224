// Settings: who and what may use the platform, what was done, what is kept, and which versions run.
import { html } from "../app/html.js";
import { PageHead } from "../parts/head.js";
import { Tabs } from "../parts/tabs.js";
import { Audit } from "./settings/audit.js";
import { Platform } from "./settings/platform.js";
import { Retention } from "./settings/retention.js";
import { Secrets } from "./settings/secrets.js";

const TABS = [
  ["tokens", "Tokens"],
  ["join-tokens", "Join tokens"],
  ["credentials", "Credentials"],
  ["audit", "Audit log"],
  ["retention", "Retention"],
  ["platform", "Versions"],
];
const OWN_FILTERS = ["cursor", "state", "by", "outcome", "service", "method"];

export const title = (_params, { tab = "tokens" }) => `Settings: ${TABS.find(([id]) => id === tab)?.[1] ?? tab}`;

export default function Settings({ query }) {
  const tab = TABS.some(([id]) => id === query.tab) ? query.tab : "tokens";
  return html`<${PageHead} title="Settings" />
    <${Tabs} items=${TABS} current=${tab} drops=${OWN_FILTERS} />
    ${["tokens", "join-tokens", "credentials"].includes(tab) && html`<${Secrets} key=${tab} kind=${tab} query=${query} />`}
    ${tab === "audit" && html`<${Audit} query=${query} />`} ${tab === "retention" && html`<${Retention} />`}
    ${tab === "platform" && html`<${Platform} />`}`;
}
