import { address, list as listOf, onOff, type OptionTable, text } from "../../config/mod.ts";
import { type MemberInfo, memberId } from "../../core/types/mod.ts";
import { CofferError } from "../../errors.ts";
import type { CofferClient, Reply } from "../client-port.ts";
import { type Call, clientCommand, type Command, tableFormatOption, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { idText, mistake } from "../keys.ts";
import { safe, table } from "../print.ts";

const MEMBER_NAME = /^[a-z0-9-]{1,63}$/;

const peerUrls = {
  name: "peer-urls",
  parser: listOf(text("URL")),
  help: "where other members find it (https://NAME:2380)",
} as const;

const list: Command = clientCommand({
  name: "member list",
  usage: "",
  summary: "who belongs to the cluster",
  examples: [["coffer member list", "ids, names and addresses"]],
  options: { format: tableFormatOption },
  arity: [0, 0],
  run: async (call) => {
    const reply = await waitFor(call, call.client.memberList());
    await write(call.io, call.format === "json" ? membersJson(reply) : memberTable(reply.body));
  },
});

const add: Command = clientCommand({
  name: "member add",
  usage: "NAME [--learner]",
  summary: "let a new member join; then start it with an empty data folder",
  examples: [
    ["coffer member add m4 --learner", "it copies the data first, and is promoted later"],
    ["coffer member add m4", "it counts for the quorum at once"],
  ],
  options: {
    learner: { name: "learner", parser: onOff, help: "without a vote until it is promoted" },
    peerUrls,
  },
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    checkName(name);
    const urls = call.values.peerUrls ?? [`https://${name}:2380`];
    const request = { peerUrls: urls, isLearner: call.values.learner === true };
    const { header, body } = await waitFor(call, call.client.memberAdd(request));
    const { member, members } = body;
    if (call.format === "json") {
      const json = { member: memberJson(member), members: members.map(memberJson) };
      await write(call.io, `${jsonText({ header: headerJson(header), ...json })}\n`);
      return;
    }
    const names = members.map(nameOf).filter((one) => one !== "");
    await write(
      call.io,
      `Member ${idText(member.id)} added to cluster ${idText(header.clusterId)}\n\n` +
        "Start it on an empty data folder, with the root key file of the others and:\n" +
        `  --name ${safe(name)}\n` +
        `  --initial-cluster ${names.map(safe).join(",")}\n` +
        "  --initial-cluster-state existing\n",
    );
  },
});

const remove: Command = clientCommand({
  name: "member remove",
  usage: "NAME|ID",
  summary: "take a member out of the cluster; it stops",
  examples: [["coffer member remove m3", "its disk is lost, or it is needed elsewhere"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const { id } = await find(call);
    const reply = await waitFor(call, call.client.memberRemove(id));
    const cluster = idText(reply.header.clusterId);
    const done = `Member ${idText(id)} removed from cluster ${cluster}\n`;
    await write(call.io, call.format === "json" ? membersJson(reply) : done);
  },
});

const promote: Command = clientCommand({
  name: "member promote",
  usage: "NAME|ID",
  summary: "give a learner that has caught up its vote",
  examples: [["coffer member promote m4", "refused while it is still far behind"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const { id } = await find(call);
    const reply = await waitFor(call, call.client.memberPromote(id));
    const cluster = idText(reply.header.clusterId);
    const done = `Member ${idText(id)} promoted in cluster ${cluster}\n`;
    await write(call.io, call.format === "json" ? membersJson(reply) : done);
  },
});

const update: Command = clientCommand({
  name: "member update",
  usage: "NAME|ID --peer-urls URL,...",
  summary: "change where other members find a member",
  examples: [["coffer member update m4 --peer-urls https://m5:2380", "before its first start"]],
  options: { peerUrls },
  arity: [1, 1],
  run: async (call) => {
    const urls = call.values.peerUrls;
    if (urls === undefined) throw mistake("member update needs --peer-urls https://NAME:2380");
    const { id } = await find(call);
    const reply = await waitFor(call, call.client.memberUpdate({ id, peerUrls: urls }));
    const cluster = idText(reply.header.clusterId);
    const done = `Member ${idText(id)} updated in cluster ${cluster}\n`;
    await write(call.io, call.format === "json" ? membersJson(reply) : done);
  },
});

const moveLeader: Command = clientCommand({
  name: "move-leader",
  usage: "NAME|ID",
  summary: "let another member lead",
  examples: [["coffer move-leader m2", "before work on the machine of the leader"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const { id: target } = await find(call);
    const { header, body: fleet } = await waitFor(call, call.client.clusterStatus());
    const leader = fleet.map(({ report }) => report?.leader ?? 0n).find((id) => id !== 0n);
    if (leader === undefined) throw new CofferError("no-leader");
    if (leader === header.memberId) {
      await waitFor(call, call.client.moveLeader(target));
    } else {
      const urls = fleet.find(({ id }) => id === leader)?.clientUrls ?? [];
      await waitFor(
        call,
        atLeader(call, urls, (client) => client.moveLeader(target)),
      );
    }
    const [from, to] = [idText(leader), idText(target)];
    await write(call.io, `Leadership transferred from ${from} to ${to}\n`);
  },
});

/** Only the leader moves its leadership, so it is asked at the addresses that it announces. */
async function atLeader(
  call: Pick<Call<OptionTable>, "context" | "config">,
  urls: readonly string[],
  work: (client: CofferClient) => Promise<void>,
): Promise<void> {
  const endpoints = urls.flatMap((url) => {
    const parsed = address.parse(url);
    return parsed.ok ? [parsed.value] : [];
  });
  if (endpoints.length === 0) {
    throw new CofferError("not-leader", "and the leader announces no address; see --endpoints");
  }
  const client = await call.context.connect({ ...call.config, endpoints });
  try {
    await work(client);
  } finally {
    await client.close();
  }
}

/** The member that the first argument names, by its name or its id. */
async function find(call: {
  readonly client: CofferClient;
  readonly positional: readonly string[];
}): Promise<Pick<MemberInfo, "id">> {
  const [wanted = ""] = call.positional;
  const { body: members } = await call.client.memberList();
  const named = members.find((member) => nameOf(member) === wanted);
  if (named !== undefined) return named;
  if (/^[0-9a-fA-F]{1,16}$/.test(wanted)) {
    // As etcd, whoever asks for an id that is not there is told so by the server.
    return { id: memberId(BigInt(`0x${wanted}`)) };
  }
  throw new CofferError("member-not-found", JSON.stringify(wanted));
}

function checkName(name: string): void {
  if (MEMBER_NAME.test(name)) return;
  throw mistake(`member name ${JSON.stringify(name)} is not made of 1 to 63 of a-z, 0-9 and -`);
}

/** Before a member's first start its URL tells the name that it must have. */
function nameOf({ name, peerUrls: [url = ""] }: MemberInfo): string {
  return name === "" ? (/^https?:\/\/([^:/]+)/.exec(url)?.[1] ?? "") : name;
}

function memberTable(members: readonly MemberInfo[]): string {
  const heading = ["ID", "STATUS", "NAME", "PEER URLS", "CLIENT URLS", "LEARNER"];
  const rows = members.map((member) => [
    idText(member.id),
    member.name === "" ? "unstarted" : "started",
    safe(nameOf(member)),
    member.peerUrls.map(safe).join(",") || "-",
    member.clientUrls.map(safe).join(",") || "-",
    String(member.isLearner),
  ]);
  return table(heading, rows);
}

function membersJson({ header, body }: Reply<readonly MemberInfo[]>): string {
  return `${jsonText({ header: headerJson(header), members: body.map(memberJson) })}\n`;
}

function memberJson({ id, name, ...member }: MemberInfo): Json {
  return {
    ID: id,
    name: name === "" ? undefined : name,
    peerURLs: member.peerUrls,
    clientURLs: member.clientUrls.length === 0 ? undefined : member.clientUrls,
    isLearner: member.isLearner ? true : undefined,
  };
}

export const memberCommands: readonly Command[] = [list, add, remove, promote, update, moveLeader];
