/** Text to a value. `error` completes the sentence `"x" ...`, such as "is not a whole number". */
export type Parsed<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: string };

/** Reads one kind of value. */
export interface Parser<T> {
  /** What stands for the value in `--help`; "" for a switch, which needs none. */
  readonly placeholder: string;
  /** What the configuration file must hold: text, a number, true or false, or a list of texts. */
  readonly kind: "text" | "number" | "switch" | "list";
  parse(text: string): Parsed<T>;
}

const good = <T>(value: T): Parsed<T> => ({ ok: true, value });
const bad = <T>(error: string): Parsed<T> => ({ ok: false, error });

/** Any text but the empty one. */
export function text(placeholder: string): Parser<string> {
  const parse = (value: string): Parsed<string> => (value === "" ? bad("is empty") : good(value));
  return { placeholder, kind: "text", parse };
}

/** Text that may be empty. */
export function anyText(placeholder: string): Parser<string> {
  return { placeholder, kind: "text", parse: good };
}

/** A path; a NUL in one would cut it short in the system call. */
export function path(placeholder: "FILE" | "FOLDER"): Parser<string> {
  const parse = (value: string): Parsed<string> => {
    if (value === "") return bad("is empty");
    return value.includes("\0") ? bad("holds a NUL byte") : good(value);
  };
  return { placeholder, kind: "text", parse };
}

/** `--name`, `--name=true` or `--name=false`. */
export const onOff: Parser<boolean> = {
  placeholder: "",
  kind: "switch",
  parse: (value) =>
    value === "true" ? good(true) : value === "false" ? good(false) : bad("is not true or false"),
};

export interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

/** A whole number within bounds. */
export function integer(bounds: Bounds = {}): Parser<number> {
  const parse = (value: string): Parsed<number> => {
    if (!/^-?[0-9]+$/.test(value)) return bad("is not a whole number");
    return bounded(Number(value), bounds);
  };
  return { placeholder: "N", kind: "number", parse };
}

/** A signed 64-bit integer. */
export const int64: Parser<bigint> = {
  placeholder: "N",
  kind: "number",
  parse: (value) => {
    if (!/^-?[0-9]+$/.test(value)) return bad("is not a whole number");
    const number = BigInt(value);
    return BigInt.asIntN(64, number) === number ? good(number) : bad("does not fit in 64 bits");
  },
};

const MILLISECONDS: { readonly [unit: string]: number } = {
  "": 1,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds, from `1500`, `1500ms`, `1.5s`, `2m`, `1h30m` or `7d`. */
export function duration(bounds: Bounds = {}): Parser<number> {
  const parse = (value: string): Parsed<number> => {
    const parts = [...value.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/g)];
    const covered = parts.map((part) => part[0]).join("");
    if (/^[0-9]+$/.test(value)) return bounded(Number(value), bounds, "ms");
    if (parts.length === 0 || covered !== value)
      return bad("is not a duration such as 500ms or 5s");
    const sum = parts.reduce(
      (ms, part) => ms + Number(part[1]) * (MILLISECONDS[part[2] ?? ""] ?? 1),
      0,
    );
    return bounded(Math.round(sum), bounds, "ms");
  };
  return { placeholder: "TIME", kind: "number", parse };
}

const BYTES: { readonly [unit: string]: number } = {
  "": 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** Bytes, from `1048576`, `512MiB`, `2GiB` or `10GB`. */
export function bytes(bounds: Bounds = {}): Parser<number> {
  const parse = (value: string): Parsed<number> => {
    const match = /^([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)$/.exec(value);
    const factor = BYTES[(match?.[2] ?? "?").toUpperCase()];
    if (match === null || factor === undefined) return bad("is not a size such as 512MiB or 2GiB");
    return bounded(Math.round(Number(match[1]) * factor), bounds);
  };
  return { placeholder: "SIZE", kind: "number", parse };
}

function bounded(
  value: number,
  { min = 0, max = Number.MAX_SAFE_INTEGER }: Bounds,
  unit = "",
): Parsed<number> {
  if (value < min) return bad(`is below the least allowed, ${min}${unit}`);
  return value > max ? bad(`is above the most allowed, ${max}${unit}`) : good(value);
}

/** One of a few words. */
export function oneOf<const Words extends readonly string[]>(words: Words): Parser<Words[number]> {
  const parse = (value: string): Parsed<Words[number]> =>
    words.includes(value) ? good(value) : bad(`is not one of ${words.join(", ")}`);
  return { placeholder: words.join("|"), kind: "text", parse };
}

/** Texts between commas, each read by `item`. */
export function list<T>(item: Parser<T>): Parser<readonly T[]> {
  const parse = (value: string): Parsed<readonly T[]> => {
    const values: T[] = [];
    for (const part of value.split(",")) {
      const parsed = item.parse(part.trim());
      if (!parsed.ok) return parsed;
      values.push(parsed.value);
    }
    return good(values);
  };
  return { placeholder: `${item.placeholder},...`, kind: "list", parse };
}

/** An http:// or https:// address of a host and port, nothing behind it. */
export interface Address {
  readonly secure: boolean;
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** As a URL without a path. */
  readonly url: string;
}

/** `https://host:port`; `host:port` alone means https. */
export const address: Parser<Address> = {
  placeholder: "URL",
  kind: "text",
  parse: (value) => {
    const full = value.includes("://") ? value : `https://${value}`;
    const match = /^(https?):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?\/?$/.exec(full);
    if (match === null) return bad("is not an address such as https://127.0.0.1:2379");
    const [, scheme = "", host = "", port = "2379"] = match;
    if (Number(port) > 65_535) return bad("has a port above 65535");
    const url = `${scheme}://${host}:${Number(port)}`;
    const bare = host.replace(/^\[|\]$/g, "");
    return good({ secure: scheme === "https", host: bare, port: Number(port), url });
  },
};

/** A NATS server as `tls://host:port`; certificates identify members, so no user may stand in it. */
export const natsUrl: Parser<string> = {
  placeholder: "URL",
  kind: "text",
  parse: (value) => {
    if (value.includes("@")) return bad("holds a user; members are known by their certificate");
    const match =
      /^(?:(?:tls|nats):\/\/)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?\/?$/.exec(value);
    if (match === null) return bad("is not an address such as tls://127.0.0.1:4222");
    const [, host = "", port = "4222"] = match;
    if (Number(port) > 65_535) return bad("has a port above 65535");
    return good(`tls://${host}:${Number(port)}`);
  },
};

/** Whether only this machine can reach the address. */
export function isLoopback({ host }: Pick<Address, "host">): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.[0-9]{1,3}){3}$/.test(host);
}
