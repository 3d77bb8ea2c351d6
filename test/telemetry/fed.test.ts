import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../src/telemetry/mod.ts";
import { codeOnly, readSource, typescriptFiles } from "../tidy/sources.ts";

/** A series that is registered and never fed stays 0, and says that nothing happened. */

const REGISTERED = ["src/telemetry/metrics.ts", "src/telemetry/gauges.ts"];
const FOR_READERS = ["text", "contentType", "observe"];

const code = typescriptFiles("src")
  .filter(({ path }) => !REGISTERED.includes(path))
  .map(({ text }) => codeOnly(text));

const metricsOf = (): object =>
  createMetrics({ etcdVersion: "3.6", cofferVersion: "0", memberId: "1", processMetrics: false });

test("every series of Metrics is used by the product", () => {
  const series = Object.keys(metricsOf()).filter((name) => !FOR_READERS.includes(name));
  assert.ok(series.length > 30);
  // Whoever feeds one says `metrics.puts.inc()`, or takes it out of `metrics` by its name.
  const isFed = (name: string): boolean => {
    const used = new RegExp(`\\bmetrics\\.${name}\\b|\\{[^{}]*\\b${name}\\b[^{}]*\\} = metrics;`);
    return code.some((text) => used.test(text));
  };
  assert.deepEqual(
    series.filter((name) => !isFed(name)),
    [],
  );
});

test("every gauge has a source", () => {
  const rows = readSource("src/telemetry/gauges.ts").text.matchAll(/^ {2}\["(\w+)", "/gm);
  const gauges = [...[...rows].map(([, name = ""]) => name), "certificateEnds"];
  assert.ok(gauges.length > 20);
  const given = code
    .flatMap((text) => text.split("metrics.observe({").slice(1))
    .map((text) => text.slice(0, text.indexOf("});")));
  assert.deepEqual(
    gauges.filter((name) => !given.some((text) => new RegExp(`\\b${name}:`).test(text))),
    [],
  );
});
