import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Programs that the tests run beside Coffer, with the Debian package each comes in. */
const packageOf = {
  etcd: "etcd-server",
  etcdctl: "etcd-client",
  "nats-server": "nats-server",
  h2load: "nghttp2-client",
} as const;

export type Tool = keyof typeof packageOf;

/** Debian puts servers in sbin, which is not on the PATH of an ordinary user. */
const folders: readonly string[] = [
  ...(process.env["PATH"] ?? "").split(delimiter),
  "/usr/local/sbin",
  "/usr/sbin",
  "/sbin",
].filter((folder) => folder !== "");

/** The path of a program. Throws, naming the package to install, if it is not there. */
export function toolPath(tool: Tool): string {
  const found = findProgram(tool);
  if (found !== undefined) return found;
  throw new Error(`${tool} is not on PATH; install Debian's package ${packageOf[tool]}`);
}

/**
 * Makes sure that every tool is there: installs what is missing when this is root on Debian, and
 * otherwise throws an error that says what to install.
 */
export function ensureTools(): void {
  const missing = missingPackages();
  if (missing.length === 0) return;
  if (mayInstall()) install(missing);
  const still = missingPackages();
  if (still.length === 0) return;
  throw new Error(
    `The tests need programs of the Debian packages ${still.join(", ")}. ` +
      `Install them (apt-get install ${still.join(" ")}) or put the programs on PATH`,
  );
}

function missingPackages(): readonly string[] {
  return Object.entries(packageOf)
    .filter(([tool]) => findProgram(tool) === undefined)
    .map(([, name]) => name);
}

function findProgram(name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function mayInstall(): boolean {
  const root = process.getuid?.() === 0;
  return root && existsSync("/etc/debian_version") && findProgram("apt-get") !== undefined;
}

/** Debian's packages start their server at once; policy-rc.d with status 101 forbids that. */
const POLICY = "/usr/sbin/policy-rc.d";

function install(packages: readonly string[]): void {
  console.error(`Installing ${packages.join(", ")} with apt-get`);
  const ownPolicy = !existsSync(POLICY);
  if (ownPolicy) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    aptGet(["update", "-q"]);
    aptGet(["install", "-q", "-y", "--no-install-recommends", ...packages]);
  } finally {
    if (ownPolicy) rmSync(POLICY, { force: true });
  }
}

function aptGet(args: readonly string[]): void {
  // Everything apt says goes to stderr: stdout belongs to the test report.
  spawnSync("apt-get", args, {
    stdio: ["ignore", 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}
