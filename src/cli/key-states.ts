import type { OptionTable } from "../config/mod.ts";
import type { Key } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { Reply } from "./client-port.ts";
import { type Call, waitFor } from "./command.ts";
import type { KeyState } from "./value-diff.ts";

/** What `key` held at `revision`; 0: now. */
export async function stateAt(
  call: Call<OptionTable>,
  key: Key,
  revision: number,
): Promise<Reply<KeyState>> {
  const { header, body } = await waitFor(
    call,
    call.client.range({
      key,
      rangeEnd: "" as Key,
      limit: 0,
      revision,
      sortOrder: "none",
      sortTarget: "key",
      serializable: false,
      keysOnly: false,
      countOnly: false,
      minModRevision: 0,
      maxModRevision: 0,
      minCreateRevision: 0,
      maxCreateRevision: 0,
    }),
  );
  return { header, body: { revision, kv: body.kvs[0] } };
}

/** The last change of `key`: what it was before, and what it made of it. */
export async function lastChange(
  call: Call<OptionTable>,
  key: Key,
): Promise<Reply<{ readonly from: KeyState; readonly to: KeyState }>> {
  const request = { key, before: 0, limit: 2, values: true };
  const { header, body } = await waitFor(call, call.client.history(request));
  if (body.valuesWithheld) throw new CofferError("permission-denied");
  const [to, from] = body.items.map(({ type, kv }): KeyState => ({
    revision: kv.modRevision,
    kv: type === "put" ? kv : undefined,
  }));
  if (to === undefined) throw new CofferError("not-found", "a revision of the key");
  if (from !== undefined) return { header, body: { from, to } };
  // The first version of a key comes after nothing; of any other what was before is gone.
  if (to.kv?.version !== 1) throw new CofferError("compacted");
  return { header, body: { from: { revision: to.revision - 1, kv: undefined }, to } };
}
