/** What an endpoint answers, before a protocol version sends it. */
export interface WebResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** In pieces where it is large: each is sent before the next is made. */
  readonly body: string | AsyncIterable<string>;
}

export function response(status: number, type: string, body: string): WebResponse {
  return {
    status,
    headers: {
      "content-type": type,
      "content-length": String(Buffer.byteLength(body)),
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
    },
    body,
  };
}

export function textResponse(status: number, body: string): WebResponse {
  return response(status, "text/plain; charset=utf-8", body);
}
