import { CofferError } from "../errors.ts";
import { inboundSubject, isMemberName, outboundSubject, type Place } from "./subjects.ts";

/**
 * The configuration of a NATS server for Coffer's members. Nobody gets in without a certificate of
 * the authority, whose DNS name is the user name, and each user may publish and subscribe to
 * nothing but the subjects of its own name.
 */

export interface NatsConfigOptions extends Place {
  /** Differs between the servers of a NATS cluster. */
  readonly serverName: string;
  readonly listen: NatsAddress;
  /** Paths as nats-server sees them: the authority, and the server's certificate and key. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  /** Names of members. */
  readonly members: readonly string[];
  /** Names that members added later may have. */
  readonly spares?: readonly string[];
  /**
   * Of a NATS cluster: where this server takes routes, the URLs of the other servers, and the files
   * for TLS between servers if they are others.
   */
  readonly routes?: {
    readonly listen: NatsAddress;
    readonly urls: readonly string[];
    readonly tls?: NatsConfigOptions["tls"];
  };
  /** Where nats-server answers `/healthz`, without TLS: an address of this machine or container. */
  readonly monitor?: NatsAddress;
}

export interface NatsAddress {
  readonly host: string;
  readonly port: number;
}

/** The DNS name that a NATS server's certificate must hold to be taken as part of the cluster. */
export const natsServerDnsName = "servers.nats.coffer";

/** The DNS name that the certificate of member `name` must hold: its user name on NATS. */
export function memberDnsName(name: string): string {
  return `${name}.members.coffer`;
}

/** The text of a configuration file for nats-server 2.9 or newer. Throws `invalid-argument`. */
export function natsConfig(options: NatsConfigOptions): string {
  const names = [...options.members, ...(options.spares ?? [])];
  checkNames(names);
  return [
    `server_name: ${quoted(options.serverName)}`,
    `listen: ${address(options.listen)}`,
    ...(options.monitor === undefined ? [] : [`http: ${address(options.monitor)}`]),
    "max_payload: 1MB",
    "max_pending: 64MB",
    // Subscriptions of a member are one; a bound keeps a stolen certificate from filling memory.
    "max_subscriptions: 16",
    'write_deadline: "5s"',
    "tls {",
    ...fileLines(options.tls),
    "  verify_and_map: true",
    "  timeout: 5",
    "}",
    "authorization {",
    "  users = [",
    ...names.map((name) => userLine(options, name)),
    "  ]",
    "}",
    ...(options.routes === undefined ? [] : clusterLines(options.routes, options.tls)),
    "",
  ].join("\n");
}

function userLine(place: Place, name: string): string {
  const publish = quoted(outboundSubject(place, name));
  const subscribe = quoted(inboundSubject(place, name));
  const permissions = `{ publish: { allow: [${publish}] }, subscribe: { allow: [${subscribe}] } }`;
  return `    { user: ${quoted(memberDnsName(name))}, permissions: ${permissions} }`;
}

function fileLines(tls: NatsConfigOptions["tls"]): readonly string[] {
  return [
    `  cert_file: ${quoted(tls.cert)}`,
    `  key_file: ${quoted(tls.key)}`,
    `  ca_file: ${quoted(tls.ca)}`,
  ];
}

/**
 * Routes carry everything: a certificate of the authority is not enough for one, its DNS name must
 * be that of the servers. A member's certificate is refused on the port of the routes.
 */
function clusterLines(
  routes: NonNullable<NatsConfigOptions["routes"]>,
  tls: NatsConfigOptions["tls"],
): readonly string[] {
  return [
    "cluster {",
    '  name: "coffer"',
    `  listen: ${address(routes.listen)}`,
    `  authorization { user: ${quoted(natsServerDnsName)} }`,
    "  tls {",
    ...fileLines(routes.tls ?? tls).map((line) => `  ${line}`),
    "    verify_and_map: true",
    "    timeout: 5",
    "  }",
    `  routes = [${routes.urls.map(quoted).join(", ")}]`,
    // Members keep to the URLs they were given: those that an operator, or a proxy, lets them use.
    "  no_advertise: true",
    "}",
  ];
}

function checkNames(names: readonly string[]): void {
  const wrong = names.find((name, at) => !isMemberName(name) || names.indexOf(name) !== at);
  if (wrong === undefined) return;
  const detail = `'${wrong}' cannot name a member: lower-case letters, digits and '-', each once`;
  throw new CofferError("invalid-argument", detail);
}

function address(at: NatsAddress): string {
  const host = at.host.includes(":") ? `[${at.host}]` : at.host;
  return quoted(`${host}:${at.port}`);
}

/** A string of the configuration language. Throws `invalid-argument` for what it cannot hold. */
function quoted(text: string): string {
  if (!/["\\\p{Cc}]/u.test(text)) return `"${text}"`;
  const detail = `${JSON.stringify(text)} cannot stand in a NATS configuration`;
  throw new CofferError("invalid-argument", detail);
}
