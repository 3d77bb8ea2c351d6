import type { Parser } from "./parsers.ts";

/**
 * One setting: `--name` on the command line, `COFFER_NAME` in the environment, `name` in the
 * configuration file.
 */
export interface Option<T> {
  /** Kebab-case. */
  readonly name: string;
  /** A letter, for `-w json`. */
  readonly short?: string;
  readonly parser: Parser<T>;
  /** One line for `--help`. */
  readonly help: string;
}

export type OptionTable = { readonly [field: string]: Option<unknown> };

/** The values of a table, each there or not. */
export type PartialValues<Table extends OptionTable> = {
  readonly [Field in keyof Table]?: Table[Field] extends Option<infer T> ? T : never;
};

/** The environment variable of an option. */
export function variableOf(name: string): string {
  return `COFFER_${name.toUpperCase().replaceAll("-", "_")}`;
}
