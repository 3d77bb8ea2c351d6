import { type WatchCreateRequest, key } from "../../core/types/mod.ts";
import type { Edge, WatchSession } from "../../edge/mod.ts";
import { byteStringOf } from "../../stdx/mod.ts";
import { rpc } from "../../proto/mod.ts";
import { frameWatch } from "./encode.ts";
import { type Method, type StreamCall, type StreamHandler, clamp, decodeWith } from "./method.ts";

/**
 * etcdserverpb.Watch. The order of responses is the session's; this file only moves them, and pulls
 * the next one while the client keeps up. A slow client thus leaves its events in the session, which
 * bounds them, and costs one response and one stream buffer here.
 */
export function watchMethods(edge: Edge): readonly Method[] {
  return [
    {
      kind: "stream",
      type: "bidi_stream",
      path: "/etcdserverpb.Watch/Watch",
      serve: (call) => serveWatch(edge, call),
    },
  ];
}

function serveWatch(edge: Edge, call: StreamCall): StreamHandler {
  let session: WatchSession | undefined;
  let closed = false;

  const pump = (): void => {
    if (session === undefined || closed) return;
    while (call.writable) {
      const response = session.next();
      if (response === undefined) {
        if (session.ended !== undefined) call.finish(session.ended);
        return;
      }
      call.write(frameWatch(response));
    }
  };
  const guardedPump = (): void => {
    try {
      pump();
    } catch (error) {
      call.finish(error);
    }
  };

  call.pause();
  edge.watch(call.caller).then((opened) => {
    if (closed) return opened.close();
    session = opened;
    session.onReadable = guardedPump;
    call.resume();
    guardedPump();
  }, call.finish);

  return {
    onMessage: (message) => {
      if (session === undefined) return;
      dispatch(session, decodeWith(rpc.WatchRequest, message));
      pump();
    },
    // etcd's stream goes on after a half-close: the watches run until the client goes away.
    onHalfClose: () => undefined,
    onWritable: guardedPump,
    onClose: () => {
      closed = true;
      session?.close();
    },
  };
}

function dispatch(session: WatchSession, { requestUnion }: rpc.WatchRequest): void {
  switch (requestUnion?.$case) {
    case "createRequest":
      return session.create(createRequest(requestUnion.value));
    case "cancelRequest":
      return session.cancel(clamp(requestUnion.value.watchId));
    case "progressRequest":
      return session.progress();
    case undefined:
      // A request of a kind that is not known: etcd passes over it too.
      return;
  }
}

/** The range stays as the client wrote it: access is decided before it is normalised. */
function createRequest(request: rpc.WatchCreateRequest): WatchCreateRequest {
  const filters: readonly number[] = request.filters;
  return {
    key: key(byteStringOf(request.key)),
    rangeEnd: key(byteStringOf(request.rangeEnd)),
    startRevision: clamp(request.startRevision),
    progressNotify: request.progressNotify,
    noPut: filters.includes(rpc.WatchCreateRequest_FilterType.NOPUT),
    noDelete: filters.includes(rpc.WatchCreateRequest_FilterType.NODELETE),
    prevKv: request.prevKv,
    watchId: clamp(request.watchId),
    fragment: request.fragment,
  };
}
