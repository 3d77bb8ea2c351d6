#!/usr/bin/env node
import { existsSync } from "node:fs";

// Here before anything is built, so that npx finds it and can say what is missing.
const main = new URL("../dist/src/main.js", import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write("Error: coffer is not built yet\nRun: npm ci && npm run build\n");
  process.exitCode = 1;
}
