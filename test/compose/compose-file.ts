import assert from "node:assert/strict";
import { parseDocument } from "yaml";
import { readSource } from "../tidy/sources.ts";

/** docker-compose.yml, as far as this repository's claims about it go. */

export interface Service {
  readonly image: string;
  readonly command: readonly string[];
  readonly hostname: string;
  readonly user: string;
  readonly working_dir?: string;
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly networks: readonly string[];
  readonly depends_on?: readonly string[];
  readonly restart: string;
  readonly stop_grace_period: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly ports?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly healthcheck: { readonly test: readonly string[]; readonly retries: number };
  readonly mem_limit: string;
  readonly cpus: number;
  readonly pids_limit: number;
  readonly build?: {
    readonly context: string;
    readonly args: Readonly<Record<string, string>>;
    readonly dockerfile_inline: string;
  };
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/** Names of the keys that `Service` reads; a key that is none of them is not tested by anything. */
export const SERVICE_KEYS: readonly string[] = [
  "build",
  "cap_drop",
  "command",
  "cpus",
  "depends_on",
  "environment",
  "healthcheck",
  "hostname",
  "image",
  "logging",
  "mem_limit",
  "networks",
  "pids_limit",
  "ports",
  "read_only",
  "restart",
  "security_opt",
  "stop_grace_period",
  "tmpfs",
  "ulimits",
  "user",
  "volumes",
  "working_dir",
];

export const composeText: string = readSource("docker-compose.yml").text;

export function readCompose(): ComposeFile {
  const document = parseDocument(composeText, { merge: true, uniqueKeys: true });
  assert.deepEqual([...document.errors, ...document.warnings].map(String), []);
  return document.toJS() as ComposeFile;
}

/** What is mounted where in a service. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

export function mountsOf(service: Service): readonly Mount[] {
  return service.volumes.map((text) => {
    const [source = "", target = "", mode = "rw", ...rest] = text.split(":");
    assert.ok(source !== "" && target.startsWith("/") && rest.length === 0, text);
    return { source, target, readOnly: mode === "ro" };
  });
}

export const MEMBER_PROGRAM = ["node", "dist/src/main.js", "server"] as const;

/** The services that run members, and those that run NATS servers. */
export function membersOf({ services }: ComposeFile): ReadonlyMap<string, Service> {
  return new Map(Object.entries(services).filter(([, service]) => isMember(service)));
}

export function natsOf({ services }: ComposeFile): ReadonlyMap<string, Service> {
  return new Map(Object.entries(services).filter(([, service]) => !isMember(service)));
}

function isMember({ command }: Service): boolean {
  return MEMBER_PROGRAM.every((word, at) => command[at] === word);
}

/** The options that a member's command line and environment give, by their names. */
export function optionsOf({
  command,
  environment = {},
}: Service): Readonly<Record<string, string>> {
  const fromEnvironment = Object.entries(environment).map(([variable, value]) => {
    const name = /^COFFER_([A-Z_]+)$/.exec(variable)?.[1];
    assert.ok(name !== undefined, `${variable} is no option of coffer server`);
    return [name.toLowerCase().replaceAll("_", "-"), value];
  });
  const flags = command.slice(MEMBER_PROGRAM.length).map((word) => {
    const [, name = "", value = ""] = /^--([a-z-]+)=(.+)$/.exec(word) ?? [];
    assert.ok(name !== "", `${word} is not --name=value`);
    return [name, value];
  });
  return Object.fromEntries([...fromEnvironment, ...flags]) as Readonly<Record<string, string>>;
}
