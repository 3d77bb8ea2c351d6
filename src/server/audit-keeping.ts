import {
  type Audit,
  type AuditSink,
  type RemovalPlan,
  planRemoval,
  removeFile,
  startSink,
} from "../audit/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import { CLUSTER_SCOPE, type TenantId } from "../core/types/mod.ts";
import type { MemberNode } from "../node/mod.ts";
import type { Keyring } from "../seal/mod.ts";
import type { Logger, Metrics } from "../telemetry/mod.ts";
import { type Checkpoints, keepCheckpoints, placeOfTenant } from "./audit-checkpoints.ts";
import { processClock, processScheduler } from "./clock.ts";
import type { End } from "./ends.ts";
import { memberEvent } from "./member-event.ts";
import type { MemberFile } from "./member-file.ts";

export interface AuditKeepingDeps {
  readonly config: ServerConfig;
  readonly ids: MemberFile;
  readonly node: MemberNode;
  readonly keyring: Keyring;
  readonly audit: Audit;
  readonly marksWritten: () => number;
  readonly metrics: Metrics;
  readonly log: Logger;
}

const RETAIN_MS = 60_000;

/** What is done with the audit log beside writing it: checkpoints, sinks, and an end of what is old. */
export async function startAuditKeeping(deps: AuditKeepingDeps): Promise<End> {
  const { config, ids, audit, log, metrics } = deps;
  const checkpoints = keepCheckpoints({
    ...deps,
    cluster: ids.clusterId.toString(16),
    member: ids.memberId.toString(16),
    clock: processClock,
    scheduler: processScheduler,
  });
  const sinks: AuditSink[] = [];
  for (const target of config.auditSink) {
    if (target.kind !== "file" && target.isExposed) {
      log.warn("An audit sink sends records unencrypted to another machine, as it was told to", {
        sink: target.name,
      });
    }
    sinks.push(await startSink(target, { audit, log, clock: processClock }));
  }
  if (sinks.length > 0) metrics.auditSinks(() => sinks.map((sink) => sink.status()));
  const retention = keepRetention(deps, checkpoints, sinks);
  return async () => {
    await retention.stop();
    await checkpoints.stop();
    await Promise.all(sinks.map((sink) => sink.stop()));
  };
}

interface Retention {
  stop(): Promise<void>;
}

function keepRetention(
  deps: AuditKeepingDeps,
  checkpoints: Checkpoints,
  sinks: readonly AuditSink[],
): Retention {
  const { config, audit, log } = deps;
  const rule = { ageMs: config.auditRetention, bytes: config.auditRetentionBytes };
  if (rule.ageMs === undefined && rule.bytes === undefined) return { stop: async () => undefined };
  let running: Promise<void> | undefined;
  let isStopped = false;
  const retain = async (): Promise<void> => {
    while (!isStopped) {
      const plan = await planRemoval(audit.folder, rule, {
        now: processClock.now(),
        covered: checkpoints.covered,
        needed: sinks.map((sink) => sink.confirmed?.file),
      });
      if (plan === undefined) return;
      await remove(deps, checkpoints, plan);
    }
  };
  const tick = (): void => {
    running ??= retain()
      .catch((cause: unknown) => {
        log.warn("An old audit file was not removed, it will be tried again", { cause });
      })
      .finally(() => (running = undefined));
  };
  tick();
  const cancel = processScheduler.every(RETAIN_MS, tick);
  return {
    stop: async () => {
      isStopped = true;
      cancel();
      await running;
    },
  };
}

/**
 * First the places where the chains will begin are signed and committed, then the removal is recorded,
 * then it is done: a crash between leaves more than is needed, and never less.
 */
async function remove(
  { audit, node, log }: AuditKeepingDeps,
  checkpoints: Checkpoints,
  { file, end, tenants }: RemovalPlan,
): Promise<void> {
  const isThere = (tenant: string): boolean => node.state.tenant(tenant as TenantId) !== undefined;
  const places = tenants.flatMap(([tenant, head]) => placeOfTenant(node.state, tenant, head) ?? []);
  await checkpoints.commit("begin", [{ tenant: undefined, head: end }, ...places]);
  await audit.append(
    memberEvent({ action: "audit-remove", key: `records:${file.firstSeq}-${end.seq}` }),
  );
  await audit.sync();
  await removeFile(audit.folder, file);
  // A tenant that is gone needs no end of its chain once its records are gone too.
  const heads = new Map(audit.tenantHeads());
  for (const [tenant, head] of tenants) {
    const isLast = heads.get(tenant)?.seq === head.seq;
    if (isLast && tenant !== "" && tenant !== CLUSTER_SCOPE && !isThere(tenant)) {
      audit.forgetTenant(tenant);
    }
  }
  log.info("Removed an old audit file", { file: file.name, lastRecord: end.seq });
}
