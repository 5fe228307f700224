// The beginning: start what runs once, then show the shell.
import { html, render } from "./html.js";
import { startKeys } from "./keys.js";
import { startRouter } from "./router.js";
import { startSession } from "./session.js";
import { Shell } from "./shell.js";
import { startClock } from "./time.js";

startClock();
startRouter();
startKeys();
await startSession();
render(html`<${Shell} />`, document.getElementById("app"));
