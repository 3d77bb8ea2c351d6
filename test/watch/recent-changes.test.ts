import assert from "node:assert/strict";
import { test } from "node:test";
import { type AppliedChange, type TenantId } from "../../src/core/types/mod.ts";
import { RecentChanges } from "../../src/core/watch/recent-changes.ts";
import { FakeStore } from "./fake-store.ts";

const A = "00000000-0000-0000-0000-00000000000a" as TenantId;
const B = "00000000-0000-0000-0000-00000000000b" as TenantId;

function changesOf(tenant: TenantId, count: number): AppliedChange[] {
  const store = new FakeStore(tenant);
  return Array.from({ length: count }, () => store.put("k", "x".repeat(100)));
}

function revisionsOf(changes: readonly AppliedChange[] | undefined): number[] | undefined {
  return changes?.map(({ revision }) => revision);
}

test("gives consecutive revisions from any that is held, within the limits", () => {
  const recent = new RecentChanges(1_000_000);
  for (const change of changesOf(A, 10)) recent.push(change);
  assert.deepEqual(revisionsOf(recent.slice(A, 5, 3, Infinity)), [5, 6, 7]);
  assert.deepEqual(revisionsOf(recent.slice(A, 10, 100, Infinity)), [10, 11]);
  assert.deepEqual(revisionsOf(recent.slice(A, 2, 100, 1)), [2]);
  assert.equal(recent.slice(A, 1, 100, Infinity), undefined);
  assert.equal(recent.slice(A, 12, 100, Infinity), undefined);
  assert.equal(recent.slice(B, 2, 100, Infinity), undefined);
});

test("the tenant that changed longest ago gives way first", () => {
  const probe = new RecentChanges(Infinity);
  const [ofA, ofB] = [changesOf(A, 200), changesOf(B, 100)];
  for (const change of ofA) probe.push(change);
  const recent = new RecentChanges(probe.bytes);
  for (const change of ofA) recent.push(change);
  assert.equal(recent.slice(A, 2, 1, Infinity)?.length, 1);
  for (const change of ofB) recent.push(change);
  assert.ok(recent.bytes <= probe.bytes);
  assert.equal(recent.slice(A, 60, 1, Infinity), undefined);
  assert.deepEqual(revisionsOf(recent.slice(A, 201, 9, Infinity)), [201]);
  assert.deepEqual(recent.slice(B, 2, 1000, Infinity)?.length, 100);
  recent.drop(A);
  recent.drop(B);
  assert.equal(recent.bytes, 0);
});

test("a gap forgets what was before it", () => {
  const recent = new RecentChanges(1_000_000);
  const changes = changesOf(A, 10);
  for (const change of changes) if (change.revision !== 6) recent.push(change);
  assert.equal(recent.slice(A, 5, 100, Infinity), undefined);
  assert.deepEqual(revisionsOf(recent.slice(A, 7, 2, Infinity)), [7, 8]);
});
