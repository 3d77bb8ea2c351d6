import assert from "node:assert/strict";
import test, { describe } from "node:test";
import type { CofferClient, Reply } from "../../src/cli/mod.ts";
import {
  leaseId,
  revision,
  type WatchCreateRequest,
  type WatchEvent,
  type WatchResponse,
} from "../../src/core/types/mod.ts";
import { answer, headerText, kv, reply, run } from "./harness.ts";

const response = (fields: Partial<WatchResponse>): Reply<WatchResponse> =>
  reply({
    watchId: 0,
    revision: revision(6),
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment: false,
    events: [],
    ...fields,
  });

const putEvent: WatchEvent = { type: "put", kv: kv("w", "2", 15), sub: 0, prevKv: kv("w", "1") };
const deleteEvent: WatchEvent = {
  type: "delete",
  kv: { ...kv("w", "", 16), createRevision: revision(0), version: 0 },
  sub: 0,
  prevKv: undefined,
};

const created = response({ created: true });
const changes = response({ events: [putEvent, deleteEvent] });

/** A watch that gives `responses` and then waits for its end, as a real one. */
function watching(
  responses: readonly Reply<WatchResponse>[],
  asked: WatchCreateRequest[] = [],
): Partial<CofferClient> {
  return {
    watch: async function* (request, signal) {
      asked.push(request);
      yield* responses;
      if (signal.aborted) return;
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
  };
}

describe("watch", () => {
  test("prints events as etcdctl does, until interrupted", async () => {
    const stop = new AbortController();
    const client = watching([created, changes]);
    const running = run(["watch", "w"], { client, signal: stop.signal });
    setImmediate(() => stop.abort());
    const { code, stdout } = await running;
    assert.equal(stdout, "PUT\nw\n1\nw\n2\nDELETE\nw\n\n");
    assert.equal(code, 0);
  });

  test("-w json is etcdctl's, and --events ends it", async () => {
    const client = watching([created, changes]);
    const { stdout } = await run(["watch", "w", "-w", "json", "--events=2"], { client });
    const before =
      '"prev_kv":{"key":"dw==","create_revision":2,"mod_revision":2,"version":1,"value":"MQ=="}';
    const put = `{"kv":{"key":"dw==","create_revision":2,"mod_revision":15,"version":1,"value":"Mg=="},${before}}`;
    const del = '{"type":1,"kv":{"key":"dw==","mod_revision":16}}';
    assert.equal(
      stdout,
      `{"H${headerText.slice(2)},"Events":[${put},${del}],"CompactRevision":0,"Canceled":false,"Created":false}\n`,
    );
  });

  test("asks for what the flags say", async () => {
    const asked: WatchCreateRequest[] = [];
    const client = watching([created, changes], asked);
    const flags = ["--prefix", "--rev", "3", "--prev-kv", "--progress-notify", "--events", "1"];
    const { stdout } = await run(["watch", "w", ...flags], { client });
    assert.equal(stdout, "PUT\nw\n1\nw\n2\n");
    assert.deepEqual(asked, [
      {
        key: "w",
        rangeEnd: "x",
        startRevision: 3,
        progressNotify: true,
        noPut: false,
        noDelete: false,
        prevKv: true,
        watchId: 0,
        fragment: false,
      },
    ]);
  });

  test("a cancelled watch fails with the cause", async () => {
    const gone = watching([response({ canceled: true, compactRevision: 9 })]);
    const compacted = await run(["watch", "w", "--rev", "2"], { client: gone });
    assert.equal(compacted.code, 1);
    assert.match(compacted.stderr, /has been compacted: the oldest that is left is 9\n/);
    const reason = "etcdserver: permission denied";
    const denied = watching([response({ created: true, canceled: true, cancelReason: reason })]);
    assert.equal((await run(["watch", "w"], { client: denied })).code, 4);
    const inWords = `rpc error: code = PermissionDenied desc = ${reason}`;
    const told = watching([response({ created: true, canceled: true, cancelReason: inWords })]);
    const { code, stderr } = await run(["watch", "w"], { client: told });
    assert.equal(code, 4);
    assert.match(stderr, /^Error: etcdserver: permission denied\n/);
  });
});

describe("lease", () => {
  const id = leaseId(0x41f2a20457fd851bn);
  const hex = "41f2a20457fd851b";
  const prefix = headerText.slice('"header":{'.length, -1);

  test("grant", async () => {
    const { asked, method } = answer({ id, ttl: 60 });
    const client = { leaseGrant: method };
    assert.equal(
      (await run(["lease", "grant", "60"], { client })).stdout,
      `lease ${hex} granted with TTL(60s)\n`,
    );
    assert.equal(
      (await run(["lease", "grant", "60", "-w", "json"], { client })).stdout,
      `{${prefix},"ID":4752038696369095963,"TTL":60,"Error":""}\n`,
    );
    assert.deepEqual(asked, [60, 60]);
    const bad = await run(["lease", "grant", "x"]);
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /^Error: the seconds: "x" is not a whole number\n/);
  });

  test("revoke", async () => {
    const { asked, method } = answer(undefined);
    const { stdout } = await run(["lease", "revoke", hex], { client: { leaseRevoke: method } });
    assert.equal(stdout, `lease ${hex} revoked\n`);
    assert.deepEqual(asked, [id]);
    assert.equal((await run(["lease", "revoke", "0x12"])).code, 2);
  });

  test("timetolive", async () => {
    const keys = [kv("l", "").key, kv("l2", "").key];
    const { asked, method } = answer({ grantedTtl: 60, remaining: 59, keys });
    const client = { leaseTimeToLive: method };
    assert.equal(
      (await run(["lease", "timetolive", hex], { client })).stdout,
      `lease ${hex} granted with TTL(60s), remaining(59s)\n`,
    );
    assert.equal(
      (await run(["lease", "timetolive", hex, "--keys"], { client })).stdout,
      `lease ${hex} granted with TTL(60s), remaining(59s), attached keys([l l2])\n`,
    );
    assert.equal(
      (await run(["lease", "timetolive", hex, "--keys", "-w", "json"], { client })).stdout,
      `{${prefix},"id":4752038696369095963,"ttl":59,"granted-ttl":60,"keys":["bA==","bDI="]}\n`,
    );
    assert.deepEqual(asked, [
      [id, false],
      [id, true],
      [id, true],
    ]);
  });

  test("timetolive of a lease that is gone", async () => {
    const { method } = answer({ grantedTtl: 0, remaining: -1, keys: [] });
    const { stdout } = await run(["lease", "timetolive", hex], {
      client: { leaseTimeToLive: method },
    });
    assert.equal(stdout, `lease ${hex} already expired\n`);
  });

  test("list, also of ids with the highest bit set", async () => {
    const { method } = answer([id, leaseId(-1n)]);
    const client = { leaseLeases: method };
    assert.equal(
      (await run(["lease", "list"], { client })).stdout,
      `found 2 leases\n${hex}\nffffffffffffffff\n`,
    );
    assert.equal(
      (await run(["lease", "list", "-w", "json"], { client })).stdout,
      `{${prefix},"leases":[{"id":4752038696369095963},{"id":-1}]}\n`,
    );
  });

  test("keep-alive --once", async () => {
    const { method } = answer({ ttl: 60 });
    const { stdout } = await run(["lease", "keep-alive", hex, "--once"], {
      client: { leaseKeepAlive: method },
    });
    assert.equal(stdout, `lease ${hex} keepalived with TTL(60)\n`);
  });

  test("keep-alive ends when the lease does, and when interrupted", async () => {
    const { method } = answer({ ttl: 0 });
    const gone = await run(["lease", "keep-alive", hex], { client: { leaseKeepAlive: method } });
    assert.deepEqual([gone.code, gone.stdout], [3, `lease ${hex} expired or revoked.\n`]);
    const once = await run(["lease", "keep-alive", hex, "--once"], {
      client: { leaseKeepAlive: method },
    });
    assert.equal(once.code, 3);
    const stop = new AbortController();
    const running = run(["lease", "keep-alive", hex], {
      client: { leaseKeepAlive: answer({ ttl: 600 }).method },
      signal: stop.signal,
    });
    setImmediate(() => stop.abort());
    assert.equal((await running).code, 0);
  });
});
