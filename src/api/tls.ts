import { constants, createHash, X509Certificate } from "node:crypto";
import type { TLSSocket, TlsOptions as NodeTlsOptions } from "node:tls";

import type { PeerCertificate } from "../edge/mod.ts";
import type { ServerLimits } from "./limits.ts";

/** PEM texts of the client port. */
export interface TlsOptions {
  /** The server's certificate, then its intermediates. */
  readonly cert: string;
  readonly key: string;
  /** Signers of client certificates; without it no client certificate is asked for. */
  readonly clientCa?: string | undefined;
  /** Refuse clients without a certificate. */
  readonly clientCertAuth?: boolean | undefined;
  /** Revocation lists, each a PEM text of its own: one for every signer in `clientCa`. */
  readonly crl?: readonly string[] | undefined;
}

/** TLS 1.2 suites with forward secrecy and authenticated encryption only (RFC 9113 §9.2.2). */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** What a reload can change. */
export function secureContextOptions(tls: TlsOptions): NodeTlsOptions {
  return {
    cert: tls.cert,
    key: tls.key,
    ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa }),
    ...(tls.crl === undefined ? {} : { crl: [...tls.crl] }),
    ciphers: CIPHERS,
    honorCipherOrder: true,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.3",
    // A resumed session would carry the verdict on a certificate that was revoked since.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/**
 * Certificates are verified in the handshake, and `verifyPeer` decides right after it: that way
 * every refusal has one place and one audit record.
 */
export function tlsServerOptions(tls: TlsOptions, limits: ServerLimits): NodeTlsOptions {
  return {
    ...secureContextOptions(tls),
    ALPNProtocols: ["h2", "http/1.1"],
    requestCert: tls.clientCa !== undefined,
    rejectUnauthorized: false,
    handshakeTimeout: limits.handshakeMs,
  };
}

export type Verdict =
  | { readonly ok: true; readonly certificate: PeerCertificate | undefined }
  | { readonly ok: false; readonly reason: string; readonly thumbprint: string };

/** Whether the peer of a finished handshake may go on, and its certificate if it showed one. */
export function verifyPeer(socket: TLSSocket, tls: TlsOptions): Verdict {
  if (tls.clientCa === undefined) return { ok: true, certificate: undefined };
  const peer = socket.getPeerX509Certificate();
  if (peer === undefined) {
    return tls.clientCertAuth === true
      ? {
          ok: false,
          reason: "no client certificate was presented, and one is required",
          thumbprint: "",
        }
      : { ok: true, certificate: undefined };
  }
  const thumbprint = createHash("sha256").update(peer.raw).digest("base64url");
  if (socket.authorized) return { ok: true, certificate: { raw: peer.raw, thumbprint } };
  const error: unknown = socket.authorizationError;
  const code = error instanceof Error ? error.message : String(error);
  return { ok: false, reason: `${described(peer)} refused: ${code}`, thumbprint };
}

const SUBJECT_CHARS_MAX = 256;

/** Subject and dates, for the log and the audit record. */
export function describeCertificate({ raw }: PeerCertificate): string {
  return described(new X509Certificate(raw));
}

function described({ subject, validFrom, validTo }: X509Certificate): string {
  const name = subject.split("\n").join(", ").slice(0, SUBJECT_CHARS_MAX);
  return `client certificate of ${name} (${dateText(validFrom)} to ${dateText(validTo)})`;
}

/** To the second, as certificates have it. */
function dateText(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? text : new Date(ms).toISOString().replace(".000Z", "Z");
}
