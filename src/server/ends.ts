/** Ends something that was started. */
export type End = () => void | Promise<void>;

/** The last that was started ends first; each ends, whether another fails or not. */
export async function endAll(ends: readonly End[]): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  for (const end of ends.toReversed()) {
    try {
      await end();
    } catch (error) {
      failure ??= { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}
