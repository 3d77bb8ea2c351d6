import type { TenantCompaction } from "../core/types/mod.ts";
import { parseRetention } from "./auto-compaction.ts";
import { type CommandLine, parseCommandLine, parseValue, usage } from "./command-line.ts";
import { parseConfigFile, type ReadFile, readConfigFile } from "./config-file.ts";
import { suggestion } from "./nearest.ts";
import { type OptionTable, type PartialValues, variableOf } from "./option.ts";
import { address, type Address, isLoopback } from "./parsers.ts";
import { configFileOption, type ServerConfig, serverOptions } from "./server-options.ts";

/** The environment, as `process.env`. */
export type Environment = { readonly [name: string]: string | undefined };

type Given = PartialValues<typeof serverOptions>;

const commandLineOptions = { ...serverOptions, config: configFileOption };

/** Variables that the environment may hold for the client commands. */
const CLIENT_VARIABLES: readonly string[] = [
  "COFFER_ENDPOINTS",
  "COFFER_CACERT",
  "COFFER_CERT",
  "COFFER_KEY",
  "COFFER_TOKEN",
  "COFFER_TOKEN_FILE",
  "COFFER_TENANT",
  "COFFER_COMMAND_TIMEOUT",
];

/** Kubernetes sets these in every pod beside a service called coffer. */
const SERVICE_LINK = /^COFFER_(?:.*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_[0-9]+_.*)?)$/;

/**
 * The configuration of `coffer server`: a flag wins over the environment, that over the file, that
 * over the default. Throws CofferError `invalid-argument` that names the source of the mistake.
 */
export function loadConfig(
  argv: readonly string[],
  env: Environment,
  readFile: ReadFile,
): ServerConfig {
  const { values: flags, positional } = parseFlags(argv);
  if (positional[0] !== undefined) {
    throw usage(`coffer server takes options only, not ${JSON.stringify(positional[0])}`);
  }
  const fromEnv = parseEnvironment(commandLineOptions, env);
  const file = flags.config ?? fromEnv.config;
  const fromFile: Given =
    file === undefined ? {} : parseConfigFile(serverOptions, readConfigFile(file, readFile));
  const config = withDefaults({ ...fromFile, ...fromEnv, ...flags });
  checkConfig(config);
  return config;
}

function parseFlags(argv: readonly string[]): CommandLine<typeof commandLineOptions> {
  return parseCommandLine(commandLineOptions, argv);
}

function parseEnvironment<Table extends OptionTable>(
  table: Table,
  env: Environment,
): PartialValues<Table> {
  const fieldOf = new Map(
    Object.entries(table).map(([field, { name }]) => [variableOf(name), field]),
  );
  const values: { [field: string]: unknown } = {};
  for (const [variable, text] of Object.entries(env)) {
    // An empty variable is an unset one, as scripts have no better way to unset it.
    if (text === undefined || text === "" || !variable.startsWith("COFFER_")) continue;
    if (CLIENT_VARIABLES.includes(variable) || SERVICE_LINK.test(variable)) continue;
    const field = fieldOf.get(variable);
    const option = field === undefined ? undefined : table[field];
    if (field === undefined || option === undefined) {
      const hint = suggestion(variable, [...fieldOf.keys()]);
      throw usage(`environment: unknown variable ${variable}${hint}`);
    }
    values[field] = parseValue(option, text, `environment: ${variable}`);
  }
  return values as PartialValues<Table>;
}

const DEFAULT_LISTEN: readonly Address[] = [
  parseValue(
    { name: "listen-client-urls", parser: address, help: "" },
    "https://127.0.0.1:2379",
    "default",
  ),
];

function withDefaults(given: Given): ServerConfig {
  const name = given.name ?? "default";
  const listenClientUrls = given.listenClientUrls ?? DEFAULT_LISTEN;
  if (given.rootKeyFile === undefined) {
    throw usage("--root-key-file is not set: name a file that only this member's user can read");
  }
  return {
    name,
    dataDir: given.dataDir ?? `${name}.coffer`,
    listenClientUrls,
    advertiseClientUrls: given.advertiseClientUrls ?? listenClientUrls,
    tlsCert: given.tlsCert,
    tlsKey: given.tlsKey,
    clientCa: given.clientCa,
    clientCrl: given.clientCrl,
    clientCertAuth: given.clientCertAuth ?? false,
    natsUrls: given.natsUrls ?? [],
    natsCa: given.natsCa,
    natsCert: given.natsCert,
    natsKey: given.natsKey,
    initialCluster: given.initialCluster ?? [name],
    initialClusterState: given.initialClusterState ?? "new",
    clusterToken: given.clusterToken ?? "coffer",
    rootKeyFile: given.rootKeyFile,
    issuersFile: given.issuersFile,
    anonymousAs: given.anonymousAs,
    heartbeatMs: given.heartbeatMs ?? 100,
    electionMs: given.electionMs ?? 1000,
    quotaBytes: given.quotaBytes ?? 2 * 2 ** 30,
    snapshotEntries: given.snapshotEntries ?? 10_000,
    autoCompactionMode: given.autoCompactionMode ?? "periodic",
    autoCompactionRetention: given.autoCompactionRetention ?? "0",
    auditRetention: given.auditRetention,
    auditRetentionBytes: given.auditRetentionBytes,
    auditSink: given.auditSink ?? [],
    logLevel: given.logLevel ?? "info",
  };
}

/** What no single value shows. */
function checkConfig(config: ServerConfig): void {
  checkListeners(config);
  checkCluster(config);
  autoCompactionOf(config);
  if (config.electionMs < 5 * config.heartbeatMs) {
    throw usage("--election-ms must be at least five times --heartbeat-ms");
  }
}

/** What the cluster compacts of tenants without a compaction of their own. */
export function autoCompactionOf(config: ServerConfig): TenantCompaction {
  const { autoCompactionMode: mode, autoCompactionRetention: text } = config;
  const parsed = parseRetention(mode, text);
  if (parsed.ok) return parsed.value;
  throw usage(`--auto-compaction-retention ${JSON.stringify(text)} ${parsed.error}`);
}

/** Names stand in NATS subjects and in DNS names of certificates. */
const MEMBER_NAME = /^[a-z0-9-]{1,63}$/;

function checkCluster(config: ServerConfig): void {
  const { name, natsUrls, initialCluster: cluster, initialClusterState: state } = config;
  const nats = [config.natsCa, config.natsCert, config.natsKey];
  if (natsUrls.length > 0 && nats.includes(undefined)) {
    throw usage("--nats-urls needs --nats-ca, --nats-cert and --nats-key: members talk over TLS");
  }
  if (natsUrls.length === 0 && nats.some((file) => file !== undefined)) {
    throw usage("--nats-ca, --nats-cert and --nats-key need --nats-urls to be of use");
  }
  if (state === "new" && !cluster.includes(name)) {
    throw usage(`--initial-cluster does not name this member, "${name}"`);
  }
  if (new Set(cluster).size < cluster.length) throw usage("--initial-cluster names a member twice");
  if (state === "existing" && cluster.every((one) => one === name)) {
    throw usage("--initial-cluster-state existing needs --initial-cluster: members to ask");
  }
  const isAlone = state === "new" && cluster.length === 1;
  if (!isAlone && natsUrls.length === 0) {
    throw usage("--initial-cluster names several members, which need --nats-urls to talk over");
  }
  if (isAlone && natsUrls.length === 0) return;
  const odd = [name, ...cluster].find((one) => !MEMBER_NAME.test(one));
  if (odd !== undefined) {
    throw usage(`member name "${odd}" is not made of 1 to 63 of a-z, 0-9 and -`);
  }
}

function checkListeners(config: ServerConfig): void {
  const listeners = config.listenClientUrls;
  if (listeners.length === 0) throw usage("--listen-client-urls names no address");
  const plain = listeners.find((listener) => !listener.secure && !isLoopback(listener));
  if (plain !== undefined) {
    throw usage(`${plain.url} would be plaintext beyond this machine: use https://`);
  }
  const secure = listeners.some((listener) => listener.secure);
  if (secure && (config.tlsCert === undefined || config.tlsKey === undefined)) {
    throw usage("an https:// listener needs --tls-cert and --tls-key");
  }
  if (config.clientCertAuth && config.clientCa === undefined) {
    throw usage("--client-cert-auth needs --client-ca to check certificates against");
  }
  if (config.clientCrl !== undefined && config.clientCa === undefined) {
    throw usage("--client-crl needs --client-ca, whose certificates it revokes");
  }
  const open = listeners.find((listener) => !isLoopback(listener));
  if (config.anonymousAs !== undefined && open !== undefined) {
    throw usage(`--anonymous-as is for loopback only, but ${open.url} is not`);
  }
}
