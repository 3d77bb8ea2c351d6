import { parseValue, usage } from "./command-line.ts";
import { type ReadFile, readConfigFile } from "./config-file.ts";
import { type Option, type PartialValues, variableOf } from "./option.ts";
import { type Address, address, duration, isLoopback, list, path, text } from "./parsers.ts";
import type { Environment } from "./server-config.ts";

/** How a command reaches the cluster. */
export interface ClientConfig {
  readonly endpoints: readonly Address[];
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** A bearer token. Secret. */
  readonly token: string | undefined;
  /** The tenant's name; undefined: the one that the credentials are bound to. */
  readonly tenant: string | undefined;
  readonly commandTimeoutMs: number;
}

export interface ClientOptions {
  readonly [field: string]: Option<unknown>;
  readonly endpoints: Option<readonly Address[]>;
  readonly cacert: Option<string>;
  readonly cert: Option<string>;
  readonly key: Option<string>;
  readonly tokenFile: Option<string>;
  readonly tenant: Option<string>;
  readonly commandTimeout: Option<number>;
}

/** Options of every command that talks to a cluster; also COFFER_ENDPOINTS and so on. */
export const clientOptions: ClientOptions = {
  endpoints: {
    name: "endpoints",
    parser: list(address),
    help: "addresses of the members (https://127.0.0.1:2379)",
  },
  cacert: { name: "cacert", parser: path("FILE"), help: "authority of the servers, PEM" },
  cert: { name: "cert", parser: path("FILE"), help: "client certificate, PEM" },
  key: { name: "key", parser: path("FILE"), help: "key of the client certificate, PEM" },
  tokenFile: {
    name: "token-file",
    parser: path("FILE"),
    help: "file with a bearer token; COFFER_TOKEN holds the token itself",
  },
  tenant: { name: "tenant", parser: text("NAME"), help: "tenant to work in" },
  commandTimeout: {
    name: "command-timeout",
    parser: duration({ min: 1 }),
    help: "longest wait for an answer (5s)",
  },
};

/** A token is at most this long (security.md section 3). */
const TOKEN_BYTES_MAX = 8192;

/**
 * The flags of a command joined with the environment; flags win. Throws CofferError
 * `invalid-argument` that names the source of the mistake.
 */
export function loadClientConfig(
  flags: PartialValues<ClientOptions>,
  env: Environment,
  readFile: ReadFile,
): ClientConfig {
  const pick = <T>(option: Option<T>, flag: T | undefined): T | undefined => {
    const variable = variableOf(option.name);
    const value = env[variable] ?? "";
    if (flag !== undefined || value === "") return flag;
    return parseValue(option, value, `environment: ${variable}`);
  };
  const endpoints = pick(clientOptions.endpoints, flags.endpoints) ?? [localEndpoint];
  const plain = endpoints.find((endpoint) => !endpoint.secure && !isLoopback(endpoint));
  if (plain !== undefined) {
    throw usage(`${plain.url} would send credentials in plaintext: use https://`);
  }
  const certFile = pick(clientOptions.cert, flags.cert);
  const keyFile = pick(clientOptions.key, flags.key);
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw usage("--cert and --key (COFFER_CERT and COFFER_KEY) go together");
  }
  return {
    endpoints,
    caFile: pick(clientOptions.cacert, flags.cacert),
    certFile,
    keyFile,
    token: readToken(flags.tokenFile, env, readFile),
    tenant: pick(clientOptions.tenant, flags.tenant),
    commandTimeoutMs: pick(clientOptions.commandTimeout, flags.commandTimeout) ?? 5000,
  };
}

const localEndpoint: Address = {
  secure: true,
  host: "127.0.0.1",
  port: 2379,
  url: "https://127.0.0.1:2379",
};

function readToken(
  flag: string | undefined,
  env: Environment,
  readFile: ReadFile,
): string | undefined {
  const variable = env["COFFER_TOKEN"] ?? "";
  const file = flag ?? (variable === "" ? env["COFFER_TOKEN_FILE"] : undefined) ?? "";
  const source = file === "" ? "environment: COFFER_TOKEN" : file;
  const token = file === "" ? variable : readConfigFile(file, readFile).text.trim();
  if (token === "" && file === "") return undefined;
  // The token itself must not be in the message.
  if (token === "" || token.length > TOKEN_BYTES_MAX || !/^[\x21-\x7e]+$/.test(token)) {
    throw usage(
      `${source}: does not hold a bearer token, one line of at most ${TOKEN_BYTES_MAX} bytes`,
    );
  }
  return token;
}
