import type { IssuerRecord } from "./issuer-record.ts";
import type { IssuerKeyRing } from "./key-ring.ts";

/** A record with its keys, as long as the record does not change. */
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
  live: boolean;
  readonly text: string;
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

function duplicated(records: readonly IssuerRecord[]): readonly string[] {
  const names = records.map(({ issuer }) => issuer);
  return names.filter((name, at) => names.indexOf(name) !== at);
}
