import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, connect } from "../../src/client/mod.ts";
import { type ServerConfig, loadConfig } from "../../src/config/mod.ts";
import { CofferError, type ErrorCode, errorRow } from "../../src/errors.ts";
import { type Authority, createAuthority, issueCertificate, savePem } from "../../src/pki/mod.ts";
import { type Member, type MemberHost, startMember } from "../../src/server/mod.ts";
import { createLogger } from "../../src/telemetry/mod.ts";

/** A real member in this process, with its files in a temporary folder and a port of its own. */

export interface World extends AsyncDisposable {
  /** Holds the member's data folder, keys and certificates. */
  readonly folder: string;
  readonly dataDir: string;
  readonly rootKeyFile: string;
  readonly config: ServerConfig;
  readonly authority: Authority;
  readonly endpoint: string;
  readonly port: number;
  /** Lines that the member logged, at level debug. */
  readonly logs: readonly string[];
  readonly fatals: readonly unknown[];
  readonly member: Member;
  /** Runs the cluster and owns its default tenant. */
  readonly admin: Client;
  /** A client with a fresh token for `subject`. */
  as(subject: string, options?: AsOptions): Promise<Client>;
  token(subject: string, options?: AsOptions): Promise<string>;
  /** A client with other credentials, or none. */
  connect(options?: Partial<Parameters<typeof connect>[0]>): Client;
  /** Adds policy rows to the default tenant. */
  grant(...rows: readonly (readonly string[])[]): Promise<void>;
  revoke(...rows: readonly (readonly string[])[]): Promise<void>;
  audit(): readonly AuditRecord[];
  /** Stops the member, runs `between`, and starts it again on the same files. */
  restart(between?: () => void): Promise<void>;
  stop(): Promise<void>;
}

export interface AsOptions {
  /** What the token is bound to; the first is asked for. */
  readonly tenants?: readonly string[];
  readonly ttlSeconds?: number;
}

export interface AuditRecord {
  readonly seq: number;
  readonly tenant: string;
  readonly revision: number;
  readonly actor: { readonly issuer: string; readonly subject: string };
  readonly action: string;
  readonly key: string;
  readonly rangeEnd: string;
  readonly outcome: "ok" | "refused" | "failed";
  readonly reason: string;
}

export interface WorldOptions {
  /** Records of `--issuers-file`. */
  readonly issuers?: readonly unknown[];
  /** What differs from the usual configuration; may make files in the folder. */
  readonly config?: (folder: string, authority: Authority) => Partial<ServerConfig>;
  /** In place of the usual audit log. */
  readonly openAudit?: NonNullable<MemberHost["openAudit"]>;
}

const DEFAULT_TENANT = "default";

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "coffer-world-"));
  const authority = createAuthority({ commonName: "test authority" });
  const config = worldConfig(folder, authority, options);
  const world = new RunningWorld(folder, authority, { config, host: options });
  try {
    await world.start();
  } catch (error) {
    await world.remove();
    throw error;
  }
  return world;
}

/** The configuration of a member in `folder`, which gets the certificates it needs. */
export function worldConfig(
  folder: string,
  authority: Authority,
  options: WorldOptions = {},
): ServerConfig {
  const file = (name: string): string => join(folder, name);
  const server = issueCertificate(authority, {
    commonName: "test server",
    usages: ["server"],
    dns: ["localhost"],
    ips: ["127.0.0.1"],
  });
  savePem(file("server.crt"), server.certificate);
  savePem(file("server.key"), server.privateKey);
  savePem(file("ca.crt"), authority.certificate);
  const flags: Record<string, string> = {
    name: "m1",
    "data-dir": file("m1"),
    "listen-client-urls": "https://127.0.0.1:1",
    "tls-cert": file("server.crt"),
    "tls-key": file("server.key"),
    "client-ca": file("ca.crt"),
    "root-key-file": file("root.key"),
  };
  if (options.issuers !== undefined) {
    writeFileSync(file("issuers.json"), JSON.stringify(options.issuers));
    flags["issuers-file"] = file("issuers.json");
  }
  const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const config = loadConfig(argv, {}, () => "");
  // Port 0, which no operator may ask for: the system gives a free one.
  const listenClientUrls = config.listenClientUrls.map((address) => ({ ...address, port: 0 }));
  return { ...config, listenClientUrls, ...options.config?.(folder, authority) };
}

class RunningWorld implements World {
  readonly folder: string;
  readonly authority: Authority;
  readonly config: ServerConfig;
  readonly logs: string[] = [];
  readonly fatals: unknown[] = [];
  readonly #clients = new Set<Client>();
  #member: Member | undefined;
  #admin: Client | undefined;

  readonly #host: Pick<MemberHost, "openAudit">;

  constructor(
    folder: string,
    authority: Authority,
    { config, host }: { readonly config: ServerConfig; readonly host: WorldOptions },
  ) {
    this.folder = folder;
    this.authority = authority;
    this.config = config;
    this.#host = host.openAudit === undefined ? {} : { openAudit: host.openAudit };
  }

  get dataDir(): string {
    return this.config.dataDir;
  }

  get rootKeyFile(): string {
    return this.config.rootKeyFile;
  }

  get member(): Member {
    assert.ok(this.#member !== undefined, "The member is stopped");
    return this.#member;
  }

  get admin(): Client {
    assert.ok(this.#admin !== undefined, "The member is stopped");
    return this.#admin;
  }

  get port(): number {
    return this.member.listening[0]?.port ?? 0;
  }

  get endpoint(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const log = createLogger({
      level: "debug",
      destination: { write: (line) => void this.logs.push(line) },
    });
    this.#member = await startMember(this.config, {
      ...this.#host,
      version: "0.0.0",
      log,
      onFatal: (error) => void this.fatals.push(error),
    });
    this.#admin = await this.as("user:admin", { tenants: [DEFAULT_TENANT, "system"] });
  }

  async token(subject: string, options: AsOptions = {}): Promise<string> {
    const { tenants = [DEFAULT_TENANT], ttlSeconds = 600 } = options;
    return (await this.member.issueToken({ subject, tenants, ttlSeconds })).token;
  }

  async as(subject: string, options: AsOptions = {}): Promise<Client> {
    return this.connect({
      token: await this.token(subject, options),
      tenant: options.tenants?.[0],
    });
  }

  connect(options: Partial<Parameters<typeof connect>[0]> = {}): Client {
    const ca = this.authority.certificate;
    const client = connect({ endpoints: [this.endpoint], ca, ...options });
    this.#clients.add(client);
    return client;
  }

  async grant(...rows: readonly (readonly string[])[]): Promise<void> {
    await this.admin.policyChange({ add: rows.map((fields) => ({ fields: [...fields] })) });
  }

  async revoke(...rows: readonly (readonly string[])[]): Promise<void> {
    await this.admin.policyChange({ remove: rows.map((fields) => ({ fields: [...fields] })) });
  }

  audit(): readonly AuditRecord[] {
    // Marks are the member's own, every few seconds.
    return auditRecords(this.dataDir).filter(({ action }) => action !== "log-mark");
  }

  async restart(between: () => void = () => undefined): Promise<void> {
    await this.stop();
    between();
    await this.start();
  }

  async stop(): Promise<void> {
    const clients = [...this.#clients];
    this.#clients.clear();
    await Promise.all(clients.map((client) => client.close()));
    await this.#member?.stop();
    this.#member = undefined;
    this.#admin = undefined;
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }
}

/** All records of a member's audit folder, in order; its other files come and go while it runs. */
export function auditRecords(dataDir: string): readonly AuditRecord[] {
  const folder = join(dataDir, "audit");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .toSorted()
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
    .filter((line) => line.endsWith("}"))
    .map((line) => JSON.parse(line) as AuditRecord)
    .toSorted((a, b) => a.seq - b.seq);
}

/** Bytes of a text, one per char. */
export function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** The CofferError that `work` fails with: of `code`, and with etcd's text alone. */
export async function failure(work: Promise<unknown>, code: ErrorCode): Promise<CofferError> {
  const error: unknown = await work.then(
    () => assert.fail(`it was allowed, expected ${code}`),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof CofferError)) throw error;
  assert.equal(error.code, code, error.message);
  return error;
}

/** All that a client can see of the default tenant: its revision, keys, leases and policy. */
export async function stateOf({ admin }: World): Promise<unknown> {
  const all = await admin.range({ key: bytes("\0"), rangeEnd: bytes("\0") });
  const { leases } = await admin.leaseLeases();
  const { policyRevision } = await admin.policyList();
  const { tenants } = await admin.tenantList();
  const names = tenants.map(({ name }) => name);
  return { revision: all.header?.revision, kvs: all.kvs, leases, policyRevision, names };
}

/**
 * That `work` is refused with etcd's text, leaves exactly one record with outcome `refused` by the
 * subject for each of its requests, and changes nothing. The subject is the test's own.
 */
export async function assertRefused(
  world: World,
  expected: {
    readonly subject: string;
    readonly action: string;
    readonly code?: ErrorCode;
    readonly detail?: RegExp;
  },
  work: () => Promise<unknown>,
): Promise<AuditRecord> {
  const { subject, action, code = "permission-denied" } = expected;
  const before = await stateOf(world);
  const seen = world.audit().at(-1)?.seq ?? 0;
  const error = await failure(work(), code);
  const { text } = errorRow(code);
  if (expected.detail === undefined) assert.equal(error.message, text);
  else assert.match(error.message, expected.detail);
  const records = world
    .audit()
    .filter((record) => record.seq > seen && record.actor.subject === subject);
  assert.deepEqual(
    records.map((record) => [record.action, record.outcome]),
    [[action, "refused"]],
  );
  assert.deepEqual(await stateOf(world), before);
  return records[0] as AuditRecord;
}
