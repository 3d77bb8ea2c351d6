/** Flags, environment and files to checked configuration. Pure but for the readFile it is given. */
export { type ClientConfig, clientOptions, loadClientConfig } from "./client-config.ts";
export { type CommandLine, parseCommandLine } from "./command-line.ts";
export type { ReadFile } from "./config-file.ts";
export { type DevConfig, devOptions, parseDevConfig } from "./dev-config.ts";
export { suggestion } from "./nearest.ts";
export { type Option, type OptionTable, type PartialValues, variableOf } from "./option.ts";
export {
  type Address,
  address,
  anyText,
  bytes,
  duration,
  int64,
  integer,
  list,
  onOff,
  oneOf,
  type Parser,
  path,
  text,
} from "./parsers.ts";
export { autoCompactionOf, type Environment, loadConfig } from "./server-config.ts";
export {
  configFileOption,
  type LogLevel,
  type ServerConfig,
  serverOptions,
} from "./server-options.ts";
