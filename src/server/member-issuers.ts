import { readFileSync } from "node:fs";
import type { ServerConfig } from "../config/mod.ts";
import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";
import { CofferError } from "../errors.ts";
import {
  type Identity,
  type IssuerRecord,
  checkIssuerRecord,
  encodeIssuerRecord,
  parseIssuerRecord,
} from "../identity/mod.ts";
import type { Node } from "../node/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { BUILTIN_ISSUER } from "./issuer-keys.ts";

/** The records of issuers, the same array while none changes. */
export interface FollowedIssuers {
  readonly configured: readonly IssuerRecord[];
  readonly all: () => readonly IssuerRecord[];
  onChanged(listener: () => void): () => void;
  close(): void;
}

export function followIssuers({
  config,
  node,
  log,
}: {
  readonly config: Pick<ServerConfig, "issuersFile">;
  readonly node: Node;
  readonly log: Logger;
}): FollowedIssuers {
  const configured = readIssuersFile(config.issuersFile);
  const listeners = new Set<() => void>();
  let known: readonly IssuerRecord[] | undefined;
  const forget = (): void => {
    known = undefined;
    for (const listener of listeners) listener();
  };
  const ends = [
    node.onRecords(({ table }) => {
      if (table === "issuer") forget();
    }),
    node.onStateReplaced(forget),
  ];
  const read = (id: string, data: Uint8Array): IssuerRecord | undefined => {
    try {
      return parseIssuerRecord(data);
    } catch (cause) {
      // Of a newer version: its tokens are refused, and all others are not.
      log.error("The record of an issuer cannot be read", { issuer: id, cause });
      return undefined;
    }
  };
  const readAll = (): readonly IssuerRecord[] => [
    ...node.state
      .records(CLUSTER_SCOPE, "issuer")
      .map(({ id, data }) => read(id, data))
      .filter((record) => record !== undefined),
    ...configured,
  ];
  return {
    configured,
    all: () => (known ??= readAll()),
    onChanged: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => {
      for (const end of ends) end();
    },
  };
}

export function issuerPort(issuers: FollowedIssuers, identity: Identity): EdgeParts["issuers"] {
  return {
    builtin: BUILTIN_ISSUER,
    check: (bytes) => {
      const record = checkIssuerRecord(bytes);
      return { issuer: record.issuer, data: encodeIssuerRecord(record) };
    },
    isConfigured: (issuer) => issuers.configured.some((record) => record.issuer === issuer),
    keys: (issuer) => identity.issuerKeys(issuer),
  };
}

/** A JSON array of issuer records. */
function readIssuersFile(path: string | undefined): readonly IssuerRecord[] {
  if (path === undefined) return [];
  const bad = (problem: string, cause: unknown): CofferError =>
    new CofferError("invalid-argument", `--issuers-file ${path} ${problem}`, { cause });
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw bad("cannot be read as JSON", cause);
  }
  if (!Array.isArray(parsed)) throw bad("is not a JSON array of issuer records", undefined);
  return parsed.map((one: unknown, i) => {
    try {
      return parseIssuerRecord(new TextEncoder().encode(JSON.stringify(one)));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : "it is not an issuer record";
      throw bad(`record ${i + 1}: ${reason}`, cause);
    }
  });
}
