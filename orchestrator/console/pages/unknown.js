// The page of an address that does not exist.
import { html } from "../app/html.js";
import { PageHead } from "../parts/head.js";
import { Link } from "../parts/link.js";

export const title = () => "Unknown page";

export default function Unknown() {
  return html`<${PageHead} title="This page does not exist" />
    <p>The address may be mistyped. <${Link} to="/">See what happens now<//>.</p>`;
}
