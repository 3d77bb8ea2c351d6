import assert from "node:assert/strict";
import { test } from "node:test";
import { createNewestState } from "../../src/identity/newest-state.ts";
import type { IssuerRecord } from "../../src/identity/mod.ts";
import { bench, keysFor, recordOf, sign } from "./fixtures.ts";

/** A member that lags: what others have answered comes here when `newest` is asked, and not before. */

const NEXT = keysFor("ES256", "next");
const withNext = (): IssuerRecord =>
  recordOf({ keys: { kind: "inline", keys: [NEXT.jwk, keysFor("ES256").jwk] } });

test("a token of a key that is new elsewhere waits for the newest state once", async () => {
  let records = [recordOf()];
  let asked = 0;
  const b = bench([], {
    issuers: () => records,
    newest: () => {
      asked++;
      records = [withNext()];
      return Promise.resolve();
    },
  });
  await b.authenticate(await sign({}, {}, NEXT));
  assert.equal(asked, 1);
  await b.authenticate(await sign({ jti: "t2" }, {}, NEXT));
  await b.authenticate(await sign({ jti: "t3" }));
  assert.equal(asked, 1, "known keys ask nobody");
});

test("a token of an issuer that is new elsewhere waits as well", async () => {
  let records: readonly IssuerRecord[] = [];
  const b = bench([], {
    issuers: () => records,
    newest: async () => {
      records = [recordOf()];
    },
  });
  await b.authenticate(await sign());
});

test("made-up issuers and keys share a wait, and are refused after it", async () => {
  let asked = 0;
  const newest = async (): Promise<void> => {
    asked++;
    await new Promise((resolve) => setImmediate(resolve));
  };
  const b = bench([recordOf()], { newest });
  const tokens = await Promise.all(
    Array.from({ length: 300 }, (_, i) =>
      i % 2 === 0 ? sign({ iss: `https://${i}.example` }) : sign({}, { kid: `made-up-${i}` }),
    ),
  );
  const reasons = await Promise.all(tokens.map((token) => b.refusal(token)));
  assert.match(reasons[0] ?? "", /no issuer record/);
  assert.match(reasons[1] ?? "", /JWKSNoMatchingKey|NO_MATCHING_KEY/i);
  assert.ok(asked <= 2, `${asked} times`);
});

test("one that asks while another's wait is under way gets one of its own, begun after it asked", async () => {
  const begun: (() => void)[] = [];
  const clock = { ms: 0, now: () => clock.ms };
  const state = createNewestState({
    clock,
    newest: () => new Promise((resolve) => begun.push(resolve)),
  });
  const first = state.wait();
  clock.ms += 1000;
  const second = state.wait();
  assert.equal(begun.length, 2);
  begun[1]?.();
  await second;
  begun[0]?.();
  await first;
});

test("a failure of the others is no failure of the wait, and closing ends it", async () => {
  const clock = { now: () => 0 };
  const failing = createNewestState({
    clock,
    newest: () => Promise.reject(new Error("no leader")),
  });
  await failing.wait();
  const silent = createNewestState({ clock, newest: () => new Promise(() => undefined) });
  const waiting = [silent.wait(), silent.wait()];
  silent.close();
  await Promise.all(waiting);
  await silent.wait();
});
