import { type World, bytes, startWorld } from "./world.ts";

/** A member with the tenants `default` and `other`, which have the same keys with the same values. */
export async function startTwoTenants(): Promise<World> {
  const world = await startWorld();
  await world.admin.tenantCreate({ name: "other", owner: "user:other" });
  const other = await world.as("user:other", { tenants: ["other"] });
  for (const client of [world.admin, other]) {
    for (const name of ["/a", "/b"]) {
      await client.put({ key: bytes(name), value: bytes(`value of ${name}`) });
    }
  }
  return world;
}
