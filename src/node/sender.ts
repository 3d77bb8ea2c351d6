import type { Message, Raft, SnapshotMessage } from "../core/raft/mod.ts";
import type { MemberId } from "../core/types/mod.ts";
import { encodeMessages } from "../wire/mod.ts";
import type { Directory } from "./directory.ts";
import type { NodeObserver, Peers } from "./ports.ts";

/** Bytes of entries past which a payload takes no more messages. */
const PAYLOAD_BYTES_SOFT_MAX = 1024 * 1024;

export interface SenderDeps {
  readonly raft: Raft;
  readonly directory: Directory;
  readonly peers: Peers;
  readonly observer: NodeObserver;
  startSnapshot(to: string, message: SnapshotMessage): void;
}

/** Sends raft's messages of one Ready: those for one member together. */
export class Sender {
  readonly #deps: SenderDeps;

  constructor(deps: SenderDeps) {
    this.#deps = deps;
  }

  send(messages: readonly Message[]): void {
    const byMember = new Map<MemberId, Message[]>();
    for (const message of messages) {
      const known = byMember.get(message.to);
      if (known === undefined) byMember.set(message.to, [message]);
      else known.push(message);
    }
    for (const [member, all] of byMember) this.#sendTo(member, all);
  }

  #sendTo(member: MemberId, messages: readonly Message[]): void {
    const { raft, directory, startSnapshot } = this.#deps;
    const name = directory.nameOf(member);
    let payload: Message[] = [];
    let bytes = 0;
    for (const message of messages) {
      if (message.kind === "snapshot") {
        if (name === undefined) raft.reportSnapshot(member, false);
        else startSnapshot(name, message);
        continue;
      }
      const size = message.kind === "append" ? bytesOf(message.entries) : 0;
      if (payload.length > 0 && bytes + size > PAYLOAD_BYTES_SOFT_MAX) {
        this.#sendPayload(name, payload);
        payload = [];
        bytes = 0;
      }
      payload.push(message);
      bytes += size;
    }
    if (payload.length > 0) this.#sendPayload(name, payload);
  }

  #sendPayload(name: string | undefined, payload: readonly Message[]): void {
    const { raft, peers, observer } = this.#deps;
    const isSent = name !== undefined && peers.send(name, "raft", encodeMessages(payload));
    if (isSent) return;
    for (const { kind, to } of payload) {
      // Raft counts on an append until it is told: then it asks where the peer is.
      if (kind === "append") raft.reportUnreachable(to);
      else if (kind === "heartbeat") observer.heartbeatFailed();
    }
  }
}

function bytesOf(entries: readonly { readonly data: Uint8Array }[]): number {
  let bytes = 0;
  for (const { data } of entries) bytes += data.length;
  return bytes;
}
