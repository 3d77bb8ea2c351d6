/** Throws when an invariant is broken. Kept on in production: a broken invariant stops the process. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** The failure of `assert`: a bug in Coffer, never the fault of a caller outside. */
export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}

/** Ends an exhaustive `switch`; the type checker refuses the call while a case is missing. */
export function assertNever(value: never): never {
  throw new AssertionFailure(`Unexpected variant ${String(value)}`);
}
