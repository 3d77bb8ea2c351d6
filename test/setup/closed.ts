/** When `socket` is closed, by whatever: `events.once` would reject with a reset that came before. */
export function closed(socket: {
  once(event: "close", listener: () => void): unknown;
}): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}
