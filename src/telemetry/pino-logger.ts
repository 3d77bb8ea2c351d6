import { pino } from "pino";
import type { LogFields, Logger } from "./logger.ts";
import { redactFields, redactText } from "./redact.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Where lines go: one call per line, which ends in a line feed. */
export interface LogDestination {
  write(line: string): void;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Default: standard error. */
  readonly destination?: LogDestination;
}

/** A logger whose level can be moved while it runs; children follow. */
export interface LeveledLogger extends Logger {
  readonly level: LogLevel;
  setLevel(level: LogLevel): void;
}

const rank: { readonly [level in LogLevel]: number } = {
  debug: 0,
  info: 1,
  warn: 2,
  error: 3,
  silent: 4,
};

/** Bytes of lines that may wait for a slow reader of standard error; past it lines are dropped. */
const STDERR_BUFFER_BYTES_MAX = 4 * 1024 * 1024;

/** In a line of JSON: what a terminal acts on or a viewer does not show, but for the line's own end. */
const UNSEEN = /(?!\n$)[\p{C}\p{Zl}\p{Zp}]/gu;

function escaped(line: string): string {
  return line.replace(UNSEEN, (char) =>
    Array.from({ length: char.length }, (_, at) => {
      return `\\u${char.charCodeAt(at).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}

/**
 * JSON lines through pino. A line is always one line, and steers no terminal: JSON escapes the control
 * characters of ASCII, `escaped` all others, and what turns or hides text. Every field and message
 * passes `redactFields` and `redactText`.
 */
export function createLogger(options: LoggerOptions): LeveledLogger {
  const sink = pino(
    {
      level: "debug",
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: "message",
      formatters: { level: (label) => ({ level: label }) },
      // Errors are copied by redactFields already; pino's own serializer would add fields back.
      serializers: {},
      hooks: { streamWrite: escaped },
    },
    options.destination ??
      pino.destination({ fd: 2, sync: false, maxLength: STDERR_BUFFER_BYTES_MAX }),
  );
  const state = { level: options.level };
  return {
    ...loggerOver(sink, state, {}),
    get level() {
      return state.level;
    },
    setLevel: (level) => {
      state.level = level;
    },
  };
}

interface Sink {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

function loggerOver(
  sink: Sink,
  state: { readonly level: LogLevel },
  bound: Readonly<Record<string, unknown>>,
): Logger {
  const line =
    (level: Exclude<LogLevel, "silent">) =>
    (message: string, fields?: LogFields): void => {
      // Checked here and not by pino, so that a line below the level costs no copy.
      if (rank[level] < rank[state.level]) return;
      const all = fields === undefined ? bound : { ...bound, ...redactFields(fields) };
      sink[level](all, redactText(message));
    };
  return {
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
    child: (fields) => loggerOver(sink, state, { ...bound, ...redactFields(fields) }),
  };
}
