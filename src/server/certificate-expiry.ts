import { X509Certificate } from "node:crypto";
import type { Clock, Scheduler } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/** As for the certificate to NATS. */
const WARNING_MS = 7 * 86_400_000;
const DAY_MS = 86_400_000;

/**
 * Warns now and daily while the client port's certificate has expired or soon will: clients refuse
 * it, and the member would see no more of that than connections that end. `pem` is what is served,
 * `path` where it came from. Answers how to end it.
 */
export function warnOfExpiry(
  { pem, path }: { readonly pem: string; readonly path: string },
  deps: { readonly log: Logger; readonly clock: Clock; readonly scheduler: Scheduler },
): () => void {
  const notAfter = Date.parse(new X509Certificate(pem).validTo);
  const tell = (): void => {
    const line = expiryLine(notAfter, path, deps.clock.now());
    if (line !== undefined) deps.log.warn(line);
  };
  tell();
  return deps.scheduler.every(DAY_MS, tell);
}

function expiryLine(notAfter: number, path: string, now: number): string | undefined {
  if (notAfter - now > WARNING_MS) return undefined;
  const verb = now > notAfter ? "expired" : "expires";
  const date = new Date(notAfter).toISOString();
  return `the certificate for clients, --tls-cert '${path}', ${verb} at ${date}; replace it and restart`;
}
