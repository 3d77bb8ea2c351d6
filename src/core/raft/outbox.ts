import type { RaftState } from "./state.ts";
import type { Message } from "./types.ts";

/** Sends with the next Ready, whether or not its save is durable. */
export function send(r: RaftState, message: Message): void {
  r.messages.push(message);
}

/**
 * Sends once all that is to be saved up to now is durable: promises (votes, accepted entries) and
 * requests that a restart must not contradict.
 */
export function sendAfterSave(r: RaftState, message: Message): void {
  r.messagesAfterSave.push(message);
}
