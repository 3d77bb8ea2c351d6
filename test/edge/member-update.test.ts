import assert from "node:assert/strict";
import { test } from "node:test";
import { startWorld } from "./world.ts";

/** What may be changed of a member that runs. */

test("a running member keeps the host of its peer URL, which is its name, not the port", async () => {
  await using world = await startWorld();
  const { members } = await world.admin.memberList();
  const [{ ID, name } = { ID: 0n, name: "" }] = members;
  const update = async (url: string): Promise<readonly string[]> => {
    const { members: after } = await world.admin.memberUpdate({ ID, peerURLs: [url] });
    return after.flatMap(({ peerURLs }) => peerURLs);
  };
  await assert.rejects(update("https://elsewhere:2380"), {
    code: "member-bad-urls",
    message: new RegExp(`names the member on NATS, and this one runs as '${name}': keep https://`),
  });
  assert.deepEqual(await update(`https://${name}:9999`), [`https://${name}:9999`]);
});
