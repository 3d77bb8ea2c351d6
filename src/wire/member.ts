import { type MemberInfo, memberId } from "../core/types/mod.ts";
import type { ByteReader } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { LIST_MAX } from "./limits.ts";

/** A row of the table of members, in the log and in messages. */
export function writeMember(to: ByteWriter, member: MemberInfo): void {
  to.uint64(member.id);
  to.text(member.name);
  writeTexts(to, member.peerUrls);
  writeTexts(to, member.clientUrls);
  to.bool(member.isLearner);
}

export function readMember(from: ByteReader): MemberInfo {
  return {
    id: memberId(from.uint64()),
    name: from.text(),
    peerUrls: readTexts(from),
    clientUrls: readTexts(from),
    isLearner: from.bool(),
  };
}

export function writeTexts(to: ByteWriter, texts: readonly string[]): void {
  to.listLength(texts.length, LIST_MAX);
  for (const text of texts) to.text(text);
}

export function readTexts(from: ByteReader): string[] {
  const texts: string[] = [];
  for (let left = from.listLength(LIST_MAX); left > 0; left--) texts.push(from.text());
  return texts;
}
