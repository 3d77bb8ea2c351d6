/** The one effectful loop of a member: save, send, apply, answer. */
export { type KnownMember, transportName } from "./directory.ts";
export { MemberNode } from "./member-node.ts";
export type { FleetMember, Node, NodeStatus, RecordListener } from "./node-port.ts";
export { type NodeOptions, confStateAtStart } from "./options.ts";
export type {
  Channel,
  LogStore,
  NodeObserver,
  NodeStorage,
  NodeTimes,
  Peers,
  StateMachine,
} from "./ports.ts";
export { NODE_RULES, type NodeRules } from "./rules.ts";
export type {
  IncomingSnapshot,
  OutgoingSnapshot,
  SnapshotOffer,
  SnapshotStore,
} from "./snapshot-ports.ts";
