/** The one effectful loop of a member: save, send, apply, answer. */
export type { Node, NodeStatus, RecordListener } from "./node-port.ts";
