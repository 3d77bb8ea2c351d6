import { CofferError } from "../errors.ts";
import { oid, oidOf, partsOf, sequence, setOf, textOf, utf8Text, type Asn1 } from "./der.ts";
import { OID } from "./oids.ts";

/** A distinguished name as Coffer writes it. */
export interface SubjectName {
  /** 1 to 64 characters (RFC 5280 ub-common-name). */
  readonly commonName: string;
  /** One, or several in order. */
  readonly organization?: string | readonly string[];
}

const LENGTH_MAX = 64;
/** Would let a name forge a line of a log or terminal. */
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Throws `invalid-argument` if a part is empty, too long or holds control characters. */
export function encodeName(name: SubjectName): Asn1 {
  const organizations = organizationsOf(name).map((text) => [OID.organization, text] as const);
  const parts = [...organizations, [OID.commonName, name.commonName] as const];
  return sequence(
    ...parts.map(([type, text]) => setOf(sequence(oid(type), utf8Text(checked(text))))),
  );
}

export function organizationsOf({ organization = [] }: SubjectName): readonly string[] {
  return typeof organization === "string" ? [organization] : organization;
}

/** All values of an attribute in a name, in order. */
export function attributesOf(name: Asn1, type: string): readonly string[] {
  return partsOf(name)
    .flatMap(partsOf)
    .filter((pair) => oidOf(partsOf(pair)[0]) === type)
    .map((pair) => textOf(partsOf(pair)[1]));
}

function checked(text: string): string {
  if (text.length === 0 || text.length > LENGTH_MAX || CONTROL.test(text)) {
    const wanted = `1 to ${LENGTH_MAX} characters without control characters`;
    throw new CofferError("invalid-argument", `subject ${JSON.stringify(text)} is not ${wanted}`);
  }
  return text;
}
