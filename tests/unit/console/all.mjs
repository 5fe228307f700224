// All tests of the modules in one process: a process for each file would take ten times as long.
import { readdirSync } from "node:fs";

const here = new URL("./", import.meta.url);
for (const name of readdirSync(here).sort()) {
  if (name.endsWith(".test.js")) await import(new URL(name, here));
}
