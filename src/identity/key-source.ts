import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { open } from "node:fs/promises";
import { discoveryUrl, type IssuerKeys } from "./issuer-record.ts";
import { KEY_SET_BYTES_MAX } from "./key-set.ts";
import { JsonRefused, parseStrictJson } from "./strict-json.ts";

/** Reads a JWKS document once; rejects with a reason that holds nothing of its content. */
export type LoadKeys = (keys: LoadableKeys) => Promise<Uint8Array>;

export type LoadableKeys =
  | Extract<IssuerKeys, { kind: "file" | "url" }>
  | (Extract<IssuerKeys, { kind: "discovery" }> & { readonly issuer: string });

const FETCH_MS_MAX = 5000;

const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "[::1]", "localhost"]);

export interface KeyLoaderOptions {
  /** For tests and for an issuer on the same host: plain http, and only to a loopback name. */
  readonly allowLoopbackHttp: boolean;
  /**
   * From the first byte of the request to the last of the answer, so that a server that drips is
   * cut off as well. Milliseconds; default 5000.
   */
  readonly fetchMsMax?: number;
}

/** Loads from a file or by https. */
export function createKeyLoader(options: KeyLoaderOptions): LoadKeys {
  return (keys) => {
    switch (keys.kind) {
      case "file":
        return readBounded(keys.path);
      case "url":
        return fetchBounded(keys.url, keys.ca, options);
      case "discovery":
        return discover(keys, options);
    }
  };
}

/** Asks the issuer where its keys are, each time: it may move them (OpenID Connect Discovery 1.0 §4). */
async function discover(
  { issuer, ca }: Extract<LoadableKeys, { kind: "discovery" }>,
  options: KeyLoaderOptions,
): Promise<Uint8Array> {
  const document = parseDiscovered(await fetchBounded(discoveryUrl(issuer), ca, options));
  // §4.3: a server must not speak for another issuer.
  if (document["issuer"] !== issuer) throw new Error("the document is of another issuer");
  const { jwks_uri: url } = document;
  if (typeof url !== "string") throw new Error("the document names no jwks_uri");
  return await fetchBounded(url, ca, options);
}

function parseDiscovered(bytes: Uint8Array): ReturnType<typeof parseStrictJson> {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (!(error instanceof JsonRefused)) throw error;
    throw new Error(`the configuration of the issuer is refused: ${error.message}`, {
      cause: error,
    });
  }
}

async function readBounded(path: string): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    // One byte more than allowed tells a longer file from one that just fits.
    const buffer = new Uint8Array(KEY_SET_BYTES_MAX + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > KEY_SET_BYTES_MAX) throw new Error("the document is longer than 64 KiB");
    return buffer.subarray(0, length);
  } finally {
    await file.close();
  }
}

function fetchBounded(
  address: string,
  ca: string | undefined,
  options: KeyLoaderOptions,
): Promise<Uint8Array> {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const plain =
    url?.protocol === "http:" && options.allowLoopbackHttp && LOOPBACK.has(url.hostname);
  if (url === undefined || (url.protocol !== "https:" && !plain)) {
    return Promise.reject(new Error("keys are only fetched by https"));
  }
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    // No agent: a connection kept open to somebody else's server is one more thing to go stale.
    const settings = { agent: false, headers: { accept: "application/json" } } as const;
    const request = plain
      ? httpRequest(url, settings)
      : httpsRequest(url, { ...settings, ...(ca === undefined ? {} : { ca }) });
    const fail = (reason: string): void => {
      request.destroy(new Error(reason));
    };
    const fetchMsMax = options.fetchMsMax ?? FETCH_MS_MAX;
    const deadline = setTimeout(() => fail(`no whole answer in ${fetchMsMax} ms`), fetchMsMax);
    request.on("close", () => clearTimeout(deadline));
    request.on("error", reject);
    request.on("response", (response) => {
      response.on("error", reject);
      // node:http follows no redirect; one is an answer that is not 200.
      if (response.statusCode !== 200) return fail(`the server answered ${response.statusCode}`);
      response.on("data", (chunk: Uint8Array) => {
        length += chunk.length;
        if (length > KEY_SET_BYTES_MAX) return fail("the document is longer than 64 KiB");
        chunks.push(chunk);
      });
      response.on("end", () => {
        if (response.complete) resolve(Buffer.concat(chunks));
        else fail("the answer was cut off");
      });
      response.on("close", () => reject(new Error("the answer was cut off")));
    });
    request.end();
  });
}
