import type { IssuerRecord } from "./issuer-record.ts";
import type { IssuerKeyRing } from "./key-ring.ts";

/** A record with its keys, as long as nothing but keys is added to the record. */
export interface CompiledIssuer {
  readonly record: IssuerRecord;
  readonly keys: IssuerKeyRing;
  /** False once the record was changed or removed: what was verified under it no longer holds. */
  readonly live: boolean;
}

export interface IssuerTable {
  /** Follows the records. One comparison while they have not changed. */
  refresh(): void;
  byIssuer(issuer: string): CompiledIssuer | undefined;
  /** Issuers whose keys cannot be fetched now. */
  failures(): number;
  close(): void;
}

interface Entry extends CompiledIssuer {
  record: IssuerRecord;
  keys: IssuerKeyRing;
  live: boolean;
  text: string;
}

export interface IssuerTableDeps {
  /** Must answer the same array while nothing changed. */
  readonly records: () => readonly IssuerRecord[];
  readonly openKeys: (record: IssuerRecord) => IssuerKeyRing;
  readonly onDuplicate: (issuer: string) => void;
}

export function createIssuerTable(deps: IssuerTableDeps): IssuerTable {
  let seen: readonly IssuerRecord[] | undefined;
  let entries = new Map<string, Entry>();

  const drop = (entry: Entry): void => {
    entry.live = false;
    entry.keys.close();
  };
  const rebuild = (records: readonly IssuerRecord[]): void => {
    const next = new Map<string, Entry>();
    for (const record of records) {
      if (next.has(record.issuer)) {
        // Which of the two judges a token must not depend on their order: neither does.
        deps.onDuplicate(record.issuer);
        continue;
      }
      const text = JSON.stringify(record);
      const old = entries.get(record.issuer);
      if (old !== undefined && old.text !== text && onlyAddsKeys(old.record, record)) {
        Object.assign(old, { record, text, keys: deps.openKeys(record) });
      }
      const keep = old?.text === text ? old : undefined;
      next.set(record.issuer, keep ?? { record, text, live: true, keys: deps.openKeys(record) });
    }
    for (const record of duplicated(records)) {
      const entry = next.get(record);
      if (entry !== undefined && entries.get(record) !== entry) drop(entry);
      next.delete(record);
    }
    for (const [issuer, entry] of entries) if (next.get(issuer) !== entry) drop(entry);
    entries = next;
  };

  return {
    refresh() {
      const records = deps.records();
      if (records === seen) return;
      seen = records;
      rebuild(records);
    },
    byIssuer: (issuer) => entries.get(issuer),
    failures: () => [...entries.values()].filter(({ keys }) => keys.failure !== undefined).length,
    close() {
      for (const entry of entries.values()) drop(entry);
      entries = new Map();
    },
  };
}

/**
 * Whether all that was verified under `old` would be so under `record`: a key more, as the built-in
 * issuer gets one from time to time, must not make each of its tokens be verified again at once.
 */
function onlyAddsKeys(old: IssuerRecord, record: IssuerRecord): boolean {
  if (old.keys.kind !== "inline" || record.keys.kind !== "inline") return false;
  // When a key was made and ends verifies nothing; see builtin-issuer.ts.
  const textOf = (value: object): string =>
    JSON.stringify({ ...value, iat: undefined, exp: undefined });
  const now = new Set(record.keys.keys.map(textOf));
  if (!old.keys.keys.every((key) => now.has(textOf(key)))) return false;
  return textOf({ ...old, keys: undefined }) === textOf({ ...record, keys: undefined });
}

function duplicated(records: readonly IssuerRecord[]): readonly string[] {
  const names = records.map(({ issuer }) => issuer);
  return names.filter((name, at) => names.indexOf(name) !== at);
}
