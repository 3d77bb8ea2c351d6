import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, posix } from "node:path";
import test, { after, describe } from "node:test";
import { type ServerConfig, loadConfig, serverOptions } from "../../src/config/mod.ts";
import { NATS_CONFIG_NAME, initCluster } from "../../src/dev/mod.ts";
import { inspectCertificate } from "../../src/pki/mod.ts";
import { toolPath } from "../setup/tools.ts";
import { repositoryRoot, trackedFiles } from "../tidy/sources.ts";
import {
  MEMBER_PROGRAM,
  type Mount,
  SERVICE_KEYS,
  type Service,
  composeText,
  membersOf,
  mountsOf,
  natsOf,
  optionsOf,
  readCompose,
} from "./compose-file.ts";

/** Each name, path, port and option in docker-compose.yml against the code it is about. */

const file = readCompose();
const members = membersOf(file);
const nats = natsOf(file);
const names = [...members.keys()];

// As its first lines say: coffer pki init --out certs, and nothing else.
const certs = mkdtempSync(join(tmpdir(), "coffer-compose-"));
after(() => rmSync(certs, { recursive: true, force: true }));
const nothing = { members: undefined, nats: undefined, hosts: undefined, clusterToken: undefined };
const made = initCluster({ folder: certs, ...nothing, force: false });

const certsMount = (service: Service): Mount => {
  const mount = mountsOf(service).find(({ source }) => source.startsWith("./certs/"));
  assert.ok(mount !== undefined, "no certificates are mounted");
  return mount;
};

/** A file in the container's folder of certificates, where `pki init` has put it. */
function certFile(service: Service, path: string): string {
  const { source, target } = certsMount(service);
  assert.equal(posix.dirname(path), target, path);
  return join(certs, basename(source), posix.basename(path));
}

function configOf(service: Service): ServerConfig {
  const argv = service.command.slice(MEMBER_PROGRAM.length);
  return loadConfig(argv, service.environment ?? {}, () => assert.fail("reads no file"));
}

describe("docker-compose.yml", () => {
  test("runs three members and three NATS servers, those of coffer pki init", () => {
    assert.deepEqual(names, ["m1", "m2", "m3"]);
    assert.deepEqual([...nats.keys()], ["n1", "n2", "n3"]);
    assert.deepEqual([names, [...nats.keys()]], [made.members, made.nats]);
  });

  for (const [name, service] of [...members, ...nats]) {
    test(`${name} is bounded, not root, and sees its own certificates alone`, () => {
      const unknown = Object.keys(service).filter((key) => !SERVICE_KEYS.includes(key));
      assert.deepEqual(unknown, []);
      assert.equal(service.hostname, name);
      assert.match(service.user, /^\$\{CERTS_UID:-[1-9]\d*\}:\$\{CERTS_GID:-[1-9]\d*\}$/);
      assert.equal(service.read_only, true);
      assert.deepEqual(service.cap_drop, ["ALL"]);
      assert.deepEqual(service.security_opt, ["no-new-privileges:true"]);
      assert.equal(service.restart, "unless-stopped");
      assert.match(service.mem_limit, /^\d+[mg]$/);
      assert.ok(service.cpus > 0 && service.pids_limit > 0);
      for (const mount of mountsOf(service)) {
        if (mount.source.startsWith(".")) {
          assert.deepEqual([mount.source, mount.readOnly], [`./certs/${name}`, true]);
        } else {
          assert.ok(mount.source in file.volumes, `volume ${mount.source} is not declared`);
          assert.equal(mount.source, name);
        }
      }
      for (const network of service.networks) assert.ok(network in file.networks, network);
      for (const other of service.depends_on ?? []) assert.ok(nats.has(other), other);
    });
  }

  for (const [name, service] of members) {
    test(`${name} is given options that coffer server takes, and files that are there`, () => {
      const known = Object.values(serverOptions).map((option) => option.name);
      const options = optionsOf(service);
      assert.deepEqual(
        Object.keys(options).filter((option) => !known.includes(option)),
        [],
      );
      const config = configOf(service);
      assert.equal(config.name, name);
      assert.deepEqual(config.initialCluster, names);
      for (const [option, path] of Object.entries(options)) {
        if (path.startsWith("/certs/")) assert.ok(existsSync(certFile(service, path)), option);
      }
      const data = mountsOf(service).find(({ source }) => source === name);
      assert.ok(config.dataDir.startsWith(`${data?.target ?? "?"}/`), config.dataDir);
      assert.equal(data?.readOnly, false);
    });

    test(`${name} is reached at the address it advertises, under a name of its certificate`, () => {
      const config = configOf(service);
      const [published = "", ...more] = service.ports ?? [];
      const [, host, port, inside] = /^([\d.]+):(\d+):(\d+)$/.exec(published) ?? [];
      assert.deepEqual(more, []);
      assert.equal(host, "127.0.0.1", "beyond this machine it is for whoever runs it to decide");
      assert.equal(config.listenClientUrls[0]?.port, Number(inside));
      assert.deepEqual(
        config.advertiseClientUrls.map(({ url }) => url),
        [`https://${host}:${port}`],
      );
      assert.ok(config.tlsCert !== undefined);
      const info = inspectCertificate(readFileSync(certFile(service, config.tlsCert)));
      for (const wanted of [name, "localhost"]) assert.ok(info.dns.includes(wanted), wanted);
      assert.ok(info.ips.includes("127.0.0.1"));
    });

    test(`${name} finds all NATS servers, on a network that it shares with them`, () => {
      const { natsUrls } = configOf(service);
      const wanted = [...nats.keys()].map((server) => `tls://${server}:4222`);
      assert.deepEqual(natsUrls, wanted);
      for (const [, { networks }] of nats) {
        assert.ok(networks.some((network) => service.networks.includes(network)));
        // Nobody else needs a way to NATS.
        for (const network of networks) assert.equal(file.networks[network]?.internal, true);
      }
    });
  }

  test("published ports differ", () => {
    const ports = [...members.values()].flatMap((service) => service.ports ?? []);
    assert.equal(new Set(ports).size, names.length);
  });

  for (const [name, service] of nats) {
    test(`${name} takes the configuration that coffer pki init has made`, () => {
      const { command, working_dir: folder = "" } = service;
      assert.deepEqual(command, ["nats-server", "--config", NATS_CONFIG_NAME]);
      assert.equal(folder, certsMount(service).target);
      const cwd = dirname(certFile(service, join(folder, NATS_CONFIG_NAME)));
      const [, ...args] = command;
      const checked = spawnSync(toolPath("nats-server"), [...args, "-t"], {
        cwd,
        encoding: "utf8",
      });
      assert.equal(checked.status, 0, checked.stderr);
      const text = readFileSync(join(cwd, NATS_CONFIG_NAME), "utf8");
      assert.match(text, /^listen: "0\.0\.0\.0:4222"$/m);
      const info = inspectCertificate(readFileSync(join(cwd, "server.crt")));
      assert.ok(info.dns.includes(name), "members look for this name");
      const [, routes = ""] = /routes = \[(.*)\]/.exec(text) ?? [];
      const others = [...nats.keys()].filter((other) => other !== name);
      assert.equal(routes, others.map((other) => `"tls://${other}:6222"`).join(", "));
      // The health check asks where the server answers.
      const url = service.healthcheck.test.at(-1) ?? "";
      assert.ok(text.includes(`http: "${new URL(url).host}"`), url);
    });
  }

  test("holds no secret", () => {
    assert.doesNotMatch(composeText, /BEGIN|password|passwd|token[=:]|secret/i);
    const secrets = ["ca.key", "nats-ca.key", "admin.key"];
    for (const [name] of [...members, ...nats]) {
      for (const secret of secrets) assert.ok(!existsSync(join(certs, name, secret)), secret);
    }
    for (const name of nats.keys()) {
      assert.ok(!existsSync(join(certs, name, "root.key")), "NATS must not open what it carries");
    }
  });

  test("certificates stay out of git and out of the image", () => {
    assert.match(readFileSync(join(repositoryRoot, ".gitignore"), "utf8"), /^certs\/\*$/m);
    const ignored = readFileSync(join(repositoryRoot, ".dockerignore"), "utf8").split("\n");
    const rules = ignored.filter((line) => line !== "" && !line.startsWith("#"));
    assert.equal(rules[0], "*");
    const admitted = rules.slice(1).map((rule) => rule.replace(/^!/, ""));
    assert.ok(!admitted.includes("certs"));
    assert.deepEqual(admitted.toSorted(), copied().toSorted());
  });

  test("compose fills in whose the certificates are, and nothing else", () => {
    // A dollar that is written twice is left to the shell.
    const filled = composeText.replaceAll("$$", "").match(/\$\S*/g) ?? [];
    const odd = filled.filter((text) => !/^\$\{CERTS_[UG]ID:-1000\}/.test(text));
    assert.deepEqual(odd, []);
    const args = [...dockerfile().matchAll(/^ARG (\w+)$/gm)].map((match) => match[1]);
    for (const service of members.values())
      assert.deepEqual(Object.keys(service.build?.args ?? {}), args);
    for (const [, name] of dockerfile().matchAll(/\$\$(\w+)/g))
      assert.ok(args.includes(name), name);
  });

  test("the image is built from files that are there", () => {
    const tracked = trackedFiles();
    for (const path of copied()) {
      const isThere = tracked.some((name) => name === path || name.startsWith(`${path}/`));
      assert.ok(isThere, path);
    }
    const scripts = (
      JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as {
        readonly scripts: Readonly<Record<string, string>>;
      }
    ).scripts;
    for (const [, script = ""] of dockerfile().matchAll(/npm run ([a-z-]+)/g)) {
      assert.ok(script in scripts, script);
    }
  });
});

function dockerfile(): string {
  const [first, ...others] = [...members.values()].map((service) => service.build);
  for (const other of others) assert.deepEqual(other, first);
  return first?.dockerfile_inline ?? assert.fail("the image is not built here");
}

/** What the image takes from the checkout. */
function copied(): readonly string[] {
  const lines = dockerfile().matchAll(/^COPY (?!--from)(.+)$/gm);
  return [...lines].flatMap(([, words = ""]) => words.split(" ").slice(0, -1));
}
