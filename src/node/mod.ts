/** The one effectful loop of a member: save, send, apply, answer. */
export { MemberNode, type NodeOptions } from "./member-node.ts";
export type { Node, NodeStatus, RecordListener } from "./node-port.ts";
export type {
  LogStore,
  NodeObserver,
  NodeStorage,
  NodeTimes,
  PeerSender,
  StateMachine,
} from "./ports.ts";
