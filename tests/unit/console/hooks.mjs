// Lets node find the vendored modules by the names that the console's import map gives them.
const VENDOR = new URL("../../../orchestrator/console/vendor/", import.meta.url);
const MODULES = {
  preact: "preact.js",
  "preact/hooks": "hooks.js",
  "@preact/signals": "signals.js",
  "@preact/signals-core": "signals-core.js",
  htm: "htm.js",
  dagre: "dagre.js",
  ansi_up: "ansi_up.js",
};

export function resolve(specifier, context, next) {
  const file = MODULES[specifier];
  return file ? { url: new URL(file, VENDOR).href, shortCircuit: true } : next(specifier, context);
}
