// What node needs to run the console's modules, in each process of the tests. Node 18 is the oldest that does.
import { webcrypto } from "node:crypto";
import { register } from "node:module";

globalThis.crypto ??= webcrypto;
register("./hooks.mjs", import.meta.url);
