import assert from "node:assert/strict";
import test, { describe } from "node:test";
import fc from "fast-check";
import {
  autoCompactionOf,
  loadConfig,
  parseDevConfig,
  type ServerConfig,
  serverOptions,
} from "../../src/config/mod.ts";
import { CofferError } from "../../src/errors.ts";

const tls = ["--tls-cert", "s.pem", "--tls-key", "s.key", "--root-key-file", "root.key"];

const nats =
  "--nats-urls n1,nats://n2:4333,tls://[::1]:5 --nats-ca n.pem --nats-cert n.crt --nats-key n.key".split(
    " ",
  );

interface Sources {
  readonly argv?: readonly string[];
  readonly env?: { readonly [name: string]: string };
  readonly file?: string;
}

function load({ argv = [], env = {}, file }: Sources): ServerConfig {
  const from = file === undefined ? [] : ["--config", "c.yaml"];
  return loadConfig([...tls, ...from, ...argv], env, (path) => {
    assert.equal(path, "c.yaml");
    return file ?? "";
  });
}

function refused(sources: Sources): string {
  try {
    load(sources);
  } catch (error) {
    assert.ok(error instanceof CofferError);
    assert.equal(error.code, "invalid-argument");
    return error.message.replace("coffer: invalid argument: ", "");
  }
  return "accepted";
}

describe("server configuration", () => {
  test("defaults", () => {
    const { listenClientUrls, advertiseClientUrls, ...config } = load({});
    assert.deepEqual(advertiseClientUrls, listenClientUrls);
    assert.deepEqual(listenClientUrls, [
      { secure: true, host: "127.0.0.1", port: 2379, url: "https://127.0.0.1:2379" },
    ]);
    assert.deepEqual(config, {
      name: "default",
      dataDir: "default.coffer",
      tlsCert: "s.pem",
      tlsKey: "s.key",
      clientCa: undefined,
      clientCrl: undefined,
      clientCertAuth: false,
      natsUrls: [],
      natsCa: undefined,
      natsCert: undefined,
      natsKey: undefined,
      initialCluster: ["default"],
      initialClusterState: "new",
      clusterToken: "coffer",
      rootKeyFile: "root.key",
      issuersFile: undefined,
      anonymousAs: undefined,
      autoCompactionMode: "periodic",
      autoCompactionRetention: "0",
      heartbeatMs: 100,
      electionMs: 1000,
      quotaBytes: 2147483648,
      snapshotEntries: 10000,
      auditRetention: undefined,
      auditRetentionBytes: undefined,
      auditSink: [],
      logLevel: "info",
    });
  });

  test("a flag wins over the environment, that over the file, that over the default", () => {
    const file = "heartbeat-ms: 1\nname: f\n".replace("1", "11");
    const env = { COFFER_HEARTBEAT_MS: "22" };
    const argv = ["--heartbeat-ms", "33"];
    assert.equal(load({}).heartbeatMs, 100);
    assert.equal(load({ file }).heartbeatMs, 11);
    assert.equal(load({ file, env }).heartbeatMs, 22);
    assert.equal(load({ file, env, argv }).heartbeatMs, 33);
    assert.equal(load({ file, env, argv }).name, "f");
  });

  test("the environment can name the file", () => {
    const config = loadConfig(tls, { COFFER_CONFIG: "/etc/c.yaml" }, () => "name: env-file");
    assert.equal(config.name, "env-file");
  });

  test("units", () => {
    const argv = ["--election-ms=1.5s", "--quota-bytes=1.5GiB", "--heartbeat-ms", "50ms"];
    const config = load({ argv });
    assert.deepEqual(
      [config.electionMs, config.quotaBytes, config.heartbeatMs],
      [1500, 1.5 * 2 ** 30, 50],
    );
    assert.equal(load({ file: "quota-bytes: 512MiB\nelection-ms: 2000" }).quotaBytes, 2 ** 29);
  });

  test("lists and switches in each source", () => {
    const listen = "https://127.0.0.1:1, https://[::1]:2";
    const urls = ["https://127.0.0.1:1", "https://[::1]:2"];
    const file = `listen-client-urls: [${listen
      .split(", ")
      .map((url) => `"${url}"`)
      .join(", ")}]\nclient-cert-auth: true\nclient-ca: ca.pem`;
    const env = { COFFER_LISTEN_CLIENT_URLS: listen, COFFER_CLIENT_CERT_AUTH: "true" };
    for (const sources of [{ file }, { env: { ...env, COFFER_CLIENT_CA: "ca.pem" } }]) {
      const config = load(sources);
      assert.deepEqual(
        config.listenClientUrls.map((address) => address.url),
        urls,
      );
      assert.equal(config.clientCertAuth, true);
    }
  });

  test("a member of three, and one that joins", () => {
    const argv = [...nats, "--name", "m1", "--initial-cluster", "m1,m2,m3"];
    const { natsUrls, initialCluster } = load({ argv });
    assert.deepEqual(natsUrls, ["tls://n1:4222", "tls://n2:4333", "tls://[::1]:5"]);
    assert.deepEqual(initialCluster, ["m1", "m2", "m3"]);
    const spelled = "m1=https://m1:2380,m2=http://m2";
    const named = load({ argv: [...nats, "--name", "m1", "--initial-cluster", spelled] });
    assert.deepEqual(named.initialCluster, ["m1", "m2"]);
    const join = ["--initial-cluster", "m2,m3", "--initial-cluster-state", "existing"];
    const joiner = load({ argv: [...nats, "--name", "m4", ...join] });
    assert.equal(joiner.initialClusterState, "existing");
    assert.deepEqual(joiner.initialCluster, ["m2", "m3"]);
  });

  const mistakes: readonly (readonly [Sources, string])[] = [
    [
      { argv: ["--heartbeet-ms", "3"] },
      'unknown option --heartbeet-ms; did you mean "--heartbeat-ms"?',
    ],
    [{ argv: ["--xyzzyxyzzy"] }, "unknown option --xyzzyxyzzy"],
    [{ argv: ["--name"] }, "--name needs a value: --name NAME"],
    [{ argv: ["--name", "a", "--name=b"] }, "--name is given twice"],
    [
      { argv: ["--heartbeat-ms", "fast"] },
      '--heartbeat-ms: "fast" is not a duration such as 500ms or 5s',
    ],
    [
      { argv: ["--snapshot-entries", "0"] },
      '--snapshot-entries: "0" is below the least allowed, 1',
    ],
    [
      { argv: ["--quota-bytes", "2 apples"] },
      '--quota-bytes: "2 apples" is not a size such as 512MiB or 2GiB',
    ],
    [
      { argv: ["--log-level", "loud"] },
      '--log-level: "loud" is not one of debug, info, warn, error',
    ],
    [{ argv: ["start"] }, 'coffer server takes options only, not "start"'],
    [
      { env: { COFFER_DATADIR: "x" } },
      'environment: unknown variable COFFER_DATADIR; did you mean "COFFER_DATA_DIR"?',
    ],
    [
      { env: { COFFER_ELECTION_MS: "x" } },
      'environment: COFFER_ELECTION_MS: "x" is not a duration such as 500ms or 5s',
    ],
    [{ file: "datadir: x" }, 'c.yaml: unknown name "datadir"; did you mean "data-dir"?'],
    [{ file: "name: 17" }, "c.yaml: name: must be text (put it in quotes), not a number"],
    [{ file: "name: [a]" }, "c.yaml: name: must be text (put it in quotes), not a list"],
    [
      { file: "client-cert-auth: 'yes'" },
      "c.yaml: client-cert-auth: must be true or false, not a string",
    ],
    [
      { file: "client-cert-auth: yes" },
      "c.yaml: client-cert-auth: must be true or false, not a string",
    ],
    [{ file: "nats-urls: {a: b}" }, "c.yaml: nats-urls: must be a list of texts, not a map"],
    [{ file: "name:" }, "c.yaml: name: must be text (put it in quotes), not empty"],
    [{ file: "- a\n- b" }, 'c.yaml: is not a list of "name: value" lines'],
    [{ file: "name: a\nname: b" }, "c.yaml: Map keys must be unique at line 2, column 1"],
    [{ file: "name: &a x\ncluster-token: *a" }, "c.yaml: Alias resolution is disabled"],
    [
      { file: `name: ${"[".repeat(20_000)}${"]".repeat(20_000)}` },
      "c.yaml: is nested deeper than 16",
    ],
    [
      { file: `name: ${"\n- ".repeat(20_000)}x` },
      "c.yaml: name: must be text (put it in quotes), not a list",
    ],
    [{ file: `name:\n ${"- ".repeat(20_000)}x` }, "c.yaml: is nested deeper than 16"],
    [{ file: "__proto__: 1" }, 'c.yaml: unknown name "__proto__"'],
    [
      { argv: ["--listen-client-urls", "http://10.0.0.1:2379"] },
      "http://10.0.0.1:2379 would be plaintext beyond this machine: use https://",
    ],
    [
      { argv: ["--listen-client-urls", "http://127.0.0.1.evil.org:1"] },
      "http://127.0.0.1.evil.org:1 would be plaintext beyond this machine: use https://",
    ],
    [
      { argv: ["--listen-client-urls", "ftp://x"] },
      '--listen-client-urls: "ftp://x" is not an address such as https://127.0.0.1:2379',
    ],
    [
      { argv: ["--anonymous-as", "user:a", "--listen-client-urls", "https://0.0.0.0:1"] },
      "--anonymous-as is for loopback only, but https://0.0.0.0:1 is not",
    ],
    [
      { argv: ["--client-cert-auth"] },
      "--client-cert-auth needs --client-ca to check certificates against",
    ],
    [
      { argv: ["--nats-urls", "nats://n:4222"] },
      "--nats-urls needs --nats-ca, --nats-cert and --nats-key: members talk over TLS",
    ],
    [
      { argv: ["--initial-cluster", "m1,m2"] },
      '--initial-cluster does not name this member, "default"',
    ],
    [
      { argv: ["--initial-cluster", "default,m2"] },
      "--initial-cluster names several members, which need --nats-urls to talk over",
    ],
    [{ argv: ["--initial-cluster", "default,m2,m2"] }, "--initial-cluster names a member twice"],
    [
      { argv: [...nats, "--name", "m_1", "--initial-cluster", "m_1,m2"] },
      'member name "m_1" is not made of 1 to 63 of a-z, 0-9 and -',
    ],
    [
      { argv: [...nats, "--name", "m1", "--initial-cluster", `m1,${"x".repeat(64)}`] },
      `member name "${"x".repeat(64)}" is not made of 1 to 63 of a-z, 0-9 and -`,
    ],
    [
      { argv: ["--initial-cluster-state", "existing"] },
      "--initial-cluster-state existing needs --initial-cluster: members to ask",
    ],
    [
      { argv: ["--initial-cluster", "m1=https://10.0.0.1:2380"] },
      '--initial-cluster: "m1=https://10.0.0.1:2380" has another host than name; members know each other by name',
    ],
    [
      { argv: ["--initial-cluster-state", "joining"] },
      '--initial-cluster-state: "joining" is not one of new, existing',
    ],
    [
      { argv: ["--initial-cluster-state", "existing", "--initial-cluster", "m2"] },
      "--initial-cluster names several members, which need --nats-urls to talk over",
    ],
    [
      { argv: ["--nats-ca", "ca.pem"] },
      "--nats-ca, --nats-cert and --nats-key need --nats-urls to be of use",
    ],
    [
      { argv: ["--nats-urls", "http://n:4222"] },
      '--nats-urls: "http://n:4222" is not an address such as tls://127.0.0.1:4222',
    ],
    [
      { argv: ["--nats-urls", "tls://user:pass@n:4222"] },
      '--nats-urls: "tls://user:pass@n:4222" holds a user; members are known by their certificate',
    ],
    [
      { argv: ["--election-ms", "200"] },
      "--election-ms must be at least five times --heartbeat-ms",
    ],
  ];
  for (const [sources, message] of mistakes) {
    test(`refused: ${message}`, () => assert.equal(refused(sources), message));
  }

  test("a listener without TLS needs no certificate on loopback, and one with TLS does", () => {
    const key = ["--root-key-file", "k"];
    const url = "http://127.0.0.1:0";
    const config = loadConfig([...key, "--listen-client-urls", url], {}, String);
    assert.deepEqual(
      config.listenClientUrls.map((address) => address.url),
      [url],
    );
    assert.throws(() => loadConfig(key, {}, String), /needs --tls-cert and --tls-key/);
    assert.throws(() => loadConfig([], {}, String), /--root-key-file is not set/);
  });

  test("a file that cannot be read is named", () => {
    const readFile = (): string => {
      throw new Error("no such file");
    };
    assert.throws(
      () => loadConfig(["--config", "gone.yaml"], {}, readFile),
      /gone\.yaml: cannot be read: no such file/,
    );
  });

  test("variables of the client commands and of Kubernetes services are left alone", () => {
    const env = {
      COFFER_TOKEN: "secret",
      COFFER_ENDPOINTS: "x",
      COFFER_SERVICE_HOST: "10.0.0.1",
      COFFER_PORT_2379_TCP_ADDR: "10.0.0.1",
      COFFER_PORT: "tcp://10.0.0.1:2379",
      COFFER_NAME: "",
      PATH: "/bin",
    };
    assert.equal(load({ env }).name, "default");
  });

  test("no text makes a parser throw", () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.values(serverOptions)), fc.string(), (option, text) => {
        assert.equal(typeof option.parser.parse(text).ok, "boolean");
      }),
    );
  });
});

describe("dev configuration", () => {
  test("defaults and flags", () => {
    const defaults = {
      dataDir: ".coffer",
      members: 1,
      clientPort: 2379,
      reset: false,
      restart: false,
    };
    assert.deepEqual(parseDevConfig([]), defaults);
    assert.deepEqual(
      parseDevConfig(["--members=3", "--client-port", "4000", "--reset", "--data-dir", "x"]),
      { dataDir: "x", members: 3, clientPort: 4000, reset: true, restart: false },
    );
  });

  test("mistakes are refused", () => {
    assert.throws(() => parseDevConfig(["--members", "2"]), /is not one of 1, 3/);
    assert.throws(() => parseDevConfig(["--client-port", "70000"]), /above the most allowed/);
    assert.throws(() => parseDevConfig(["now"]), /takes options only/);
  });
});

describe("automatic compaction", () => {
  const meant = (...argv: readonly string[]): unknown => autoCompactionOf(load({ argv }));
  const retention = "--auto-compaction-retention";

  test("in etcd's words", () => {
    assert.deepEqual(meant(), { kind: "none" });
    assert.deepEqual(meant(retention, "0"), { kind: "none" });
    assert.deepEqual(meant(retention, "2"), { kind: "age", seconds: 7200 });
    assert.deepEqual(meant(retention, "1h30m"), { kind: "age", seconds: 5400 });
    assert.deepEqual(meant("--auto-compaction-mode", "periodic", retention, "5m"), {
      kind: "age",
      seconds: 300,
    });
    const byCount = ["--auto-compaction-mode", "revision", retention];
    assert.deepEqual(meant(...byCount, "1000"), { kind: "count", revisions: 1000 });
    assert.deepEqual(meant(...byCount, "0"), { kind: "none" });
    const file = "auto-compaction-mode: revision\nauto-compaction-retention: 7\n";
    assert.deepEqual(autoCompactionOf(load({ file })), { kind: "count", revisions: 7 });
    const env = { COFFER_AUTO_COMPACTION_RETENTION: "30m" };
    assert.deepEqual(autoCompactionOf(load({ env })), { kind: "age", seconds: 1800 });
  });

  test("what is meant otherwise is refused, saying why", () => {
    assert.match(refused({ argv: [retention, "soon"] }), /"soon" is neither hours nor a duration/);
    assert.match(refused({ argv: [retention, "-1h"] }), /"-1h" is neither hours/);
    assert.match(refused({ argv: [retention, "9007199254740991"] }), /is too large/);
    const byCount = ["--auto-compaction-mode", "revision", retention, "1h"];
    assert.match(refused({ argv: byCount }), /"1h" is not a number of revisions/);
  });
});
