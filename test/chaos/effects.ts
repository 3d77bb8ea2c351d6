import type { KeyState, TxnValue } from "./history.ts";
import type { LeaseOp, Op } from "./ops.ts";

/** What operations do to the store, and what their answers say of it. */

/** A key as a write leaves it; null: gone. */
export interface Change {
  readonly key: string;
  readonly value: string | null;
}

export type Before = (key: string) => KeyState | undefined;

/** What an operation with an answer changed; nothing for one that only looked. */
export function changesOf({ done, outcome }: Op | LeaseOp): readonly Change[] {
  if (outcome !== "ok") return [];
  switch (done.f) {
    case "write":
      return [{ key: done.key, value: done.value }];
    case "delete":
      return done.prev === null ? [] : [{ key: done.key, value: null }];
    case "cas":
      return [{ key: done.key, value: done.value[1] }];
    case "txn":
      return txnChanges(done.value, ([, , removed]) => removed !== null);
    case "lease-put":
      return [{ key: done.key ?? "", value: done.value ?? null }];
    default:
      return [];
  }
}

/** What an operation without an answer changes if it finds the store like `before`. */
export function changesUpon({ invoked }: Op | LeaseOp, before: Before): readonly Change[] {
  const valueOf = (key: string): string | null => before(key)?.value ?? null;
  switch (invoked.f) {
    case "write":
      return [{ key: invoked.key, value: invoked.value }];
    case "delete":
      return valueOf(invoked.key) === null ? [] : [{ key: invoked.key, value: null }];
    case "cas": {
      const [old, value] = invoked.value;
      return valueOf(invoked.key) === old ? [{ key: invoked.key, value }] : [];
    }
    case "txn": {
      const succeeded = invoked.value.compare.every(([key, value]) => valueOf(key) === value);
      return txnChanges({ ...invoked.value, succeeded }, ([, key]) => valueOf(key) !== null);
    }
    case "lease-put":
      return [{ key: invoked.key ?? "", value: invoked.value ?? null }];
    default:
      return [];
  }
}

function txnChanges(
  value: TxnValue,
  removes: (op: TxnValue["success"][number]) => boolean,
): readonly Change[] {
  const branch = value.succeeded === true ? value.success : value.failure;
  return branch.flatMap((op): readonly Change[] => {
    const [kind, key, written] = op;
    if (kind === "w") return [{ key, value: written }];
    return kind === "d" && removes(op) ? [{ key, value: null }] : [];
  });
}

/** Every value that an operation could write. */
export function valuesOf({ invoked }: Op | LeaseOp): readonly string[] {
  switch (invoked.f) {
    case "write":
      return invoked.value === null ? [] : [invoked.value];
    case "cas":
      return [invoked.value[1]];
    case "txn":
      return [...invoked.value.success, ...invoked.value.failure].flatMap(([kind, , value]) =>
        kind === "w" && value !== null ? [value] : [],
      );
    case "lease-put":
      return invoked.value === undefined ? [] : [invoked.value];
    default:
      return [];
  }
}

/** What an answer says wrongly of the store that it found. */
export function wrongAnswer({ done, outcome }: Op, before: Before): string | undefined {
  const valueOf = (key: string): string | null => before(key)?.value ?? null;
  const differs = (key: string, told: string | null): string | undefined =>
    valueOf(key) === told
      ? undefined
      : `${key} was ${JSON.stringify(valueOf(key))}, and the answer says ${JSON.stringify(told)}`;
  switch (done.f) {
    case "read":
    case "serializable-read":
      return differs(done.key, done.value);
    case "write":
    case "delete":
      return done.prev === undefined ? undefined : differs(done.key, done.prev);
    case "cas":
      return wrongCas(done.value[0], { outcome, prev: done.prev, differs, key: done.key });
    case "txn":
      return wrongTxn(done.value, valueOf, differs);
  }
}

type Differs = (key: string, told: string | null) => string | undefined;

function wrongCas(
  old: string | null,
  told: {
    readonly outcome: string;
    readonly prev: string | null | undefined;
    readonly differs: Differs;
    readonly key: string;
  },
): string | undefined {
  if (told.outcome === "ok") return told.differs(told.key, old);
  if (told.prev === undefined) return undefined;
  if (told.prev === old) return "the compare failed on what it asked for";
  return told.differs(told.key, told.prev);
}

function wrongTxn(
  value: TxnValue,
  valueOf: (key: string) => string | null,
  differs: Differs,
): string | undefined {
  const holds = value.compare.every(([key, wanted]) => valueOf(key) === wanted);
  if (holds !== value.succeeded) return `its compares ${holds ? "hold" : "do not hold"}`;
  for (const [kind, key, told] of holds ? value.success : value.failure) {
    const wrong = kind === "w" ? undefined : differs(key, told);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}
