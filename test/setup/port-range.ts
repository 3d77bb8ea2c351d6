/**
 * The ports that this process may give to servers. They lie below those that outgoing connections are
 * given, as a member that is away must find its port free; and test files that run side by side have
 * ports of their own, since a port that was free when it was looked for is taken seconds later.
 */
const FIRST = 15_000;
const PORTS = 500;
const SLICES = 30;

export const PORT_MIN: number = FIRST + (process.pid % SLICES) * PORTS;
export const PORT_MAX: number = PORT_MIN + PORTS;
