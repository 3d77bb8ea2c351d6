import {
  configFileOption,
  devOptions,
  loadConfig,
  parseDevConfig,
  serverOptions,
} from "../../config/mod.ts";
import { exitCode, type ExitCode } from "../../errors.ts";
import type { Command, Context } from "../command.ts";
import { textFile, write } from "../io.ts";

const server: Command = {
  name: "server",
  usage: "--config FILE",
  summary: "run one member",
  examples: [
    ["coffer server --config /etc/coffer.yaml", "options from a file, each as name: value"],
    [
      "coffer server --config /etc/coffer.yaml --log-level debug",
      "a flag wins over the environment, and that over the file",
    ],
    [
      "coffer server --config m4.yaml --initial-cluster-state existing",
      "join after coffer member add m4; exits with 5 if it is removed again",
    ],
  ],
  options: { config: configFileOption, ...serverOptions },
  isClient: false,
  run: async (argv: readonly string[], { io, services }: Context): Promise<ExitCode> =>
    await services.server(
      loadConfig(argv, io.env, (path) => textFile(io, path)),
      io,
    ),
};

const dev: Command = {
  name: "dev",
  usage: "",
  summary: "run everything for a laptop: data folder, certificates, token, one member or three",
  examples: [
    ["coffer dev", "start, or find the data of the last time again"],
    [". .coffer/env", "in another terminal: address and credentials for coffer and etcdctl"],
    ["coffer dev --members 3", "three members to be killed and looked at; needs nats-server"],
    ["coffer dev --reset", "start afresh"],
  ],
  options: devOptions,
  isClient: false,
  run: async (argv: readonly string[], { io, services }: Context): Promise<ExitCode> =>
    await services.dev(parseDevConfig(argv), io),
};

const version: Command = {
  name: "version",
  usage: "",
  summary: "the version of this program",
  examples: [],
  options: {},
  isClient: false,
  run: async (_argv: readonly string[], { io, services }: Context): Promise<ExitCode> => {
    await write(io, `coffer version: ${services.version}\nAPI version: 3.6\n`);
    return exitCode.ok;
  },
};

export const serviceCommands: readonly Command[] = [dev, server, version];
