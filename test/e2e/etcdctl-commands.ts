/**
 * One session of etcdctl, command by command. `{lease1}` stands for the id that the first grant
 * answered. A watch step runs until it has printed `lines` lines.
 */
export interface Step {
  readonly args: readonly string[];
  readonly stdin?: string;
  /** Ends the command after so many lines of output. */
  readonly lines?: number;
}

const run = (line: string, stdin?: string): Step => ({
  args: line.split(" ").map((word) => word.replaceAll("~", " ")),
  ...(stdin === undefined ? {} : { stdin }),
});
const watch = (line: string, lines: number): Step => ({ ...run(line), lines });

const puts: readonly Step[] = [
  run("get nothing"),
  run("put a 1"),
  run("put a 2"),
  run("put a 3 --prev-kv"),
  run("put b one"),
  run("put b two --prev-kv -w json"),
  run("put dir/a 1"),
  run("put dir/b 2"),
  run("put dir/c 3"),
  run("put dir2/a other"),
  run("put spaces a~value~with~spaces"),
  run("put empty", ""),
  run("put stdin", "from standard input"),
  run("put unicode grüße~☃"),
  run("put --ignore-value a"),
  run("put --ignore-value missing"),
  run("put --ignore-lease a 4"),
  run("put --ignore-lease missing 4"),
  run("put a 4 --lease=12345"),
  run("put"),
];

const gets: readonly Step[] = [
  run("get a"),
  run("get a -w json"),
  run("get a -w fields"),
  run("get a --print-value-only"),
  run("get a --consistency=s"),
  run("get empty"),
  run("get empty -w json"),
  run("get stdin --print-value-only"),
  run("get unicode"),
  run("get dir/ --prefix"),
  run("get dir/ --prefix -w json"),
  run("get dir/ --prefix --keys-only"),
  run("get dir --prefix --limit=2"),
  run("get dir --prefix --limit=2 -w json"),
  run("get dir/a dir/c"),
  run("get dir/b --from-key"),
  run("get dir/b --from-key --limit=1"),
  run("get  --prefix --keys-only"),
  run("get dir/ --prefix --order=DESCEND"),
  run("get dir/ --prefix --order=ASCEND --sort-by=VALUE"),
  run("get dir --prefix --order=DESCEND --sort-by=VALUE"),
  run("get dir --prefix --order=DESCEND --sort-by=MODIFY"),
  run("get dir --prefix --order=ASCEND --sort-by=CREATE"),
  run("get  --prefix --order=DESCEND --sort-by=VERSION --limit=3"),
  run("get  --prefix --sort-by=VERSION --limit=2"),
  run("get dir --prefix --sort-by=VALUE --limit=2"),
  run("get a --rev=2"),
  run("get a --rev=3 -w json"),
  run("get a --rev=4"),
  run("get dir/ --prefix --rev=8"),
  run("get a --rev=100000"),
  run("get dir/c dir/a"),
  run("get z zz"),
  run("get a --limit=0"),
  run("get a --limit=-5"),
  run("get a b --prefix"),
  run("get"),
];

const deletes: readonly Step[] = [
  run("del nothing"),
  run("del a"),
  run("get a"),
  run("put a again"),
  run("get a -w json"),
  run("del b --prev-kv"),
  run("del dir2/ --prefix --prev-kv -w json"),
  run("put x/1 1"),
  run("put x/2 2"),
  run("put x/3 3"),
  run("del x/1 x/3"),
  run("get x/ --prefix"),
  run("del x/3 --from-key"),
  run("del zzz --from-key"),
  run("get unicode"),
  run("del"),
];

const txn = (text: string): Step => run("txn", text);

const txns: readonly Step[] = [
  run("put t 5"),
  txn('value("t") = "5"\n\nput t 6\nget t\n\nput t 7\n\n'),
  txn('value("t") = "5"\n\nput t 8\n\nget t\n\n'),
  txn('value("missing") = "5"\n\nput t 8\n\nget missing\n\n'),
  txn('value("t") > "5"\n\nget t\n\nget a\n\n'),
  txn('value("t") < "5"\n\nget t\n\nget a\n\n'),
  txn('version("t") = "2"\n\nput t v2\n\nget t\n\n'),
  txn('version("t") > "1"\n\ndel t\n\nget t\n\n'),
  txn('create("t") = "0"\n\nput t created\nput u created\n\nget t\n\n'),
  txn('mod("t") < "1000"\nversion("u") = "1"\n\nget t\nget u\n\nget a\n\n'),
  txn('mod("t") = "0"\n\nget t\n\nget u\n\n'),
  txn("\nput v 1\nput v 2\n\n\n"),
  txn("\nput w 1\ndel w\n\n\n"),
  txn("\nget t\nget dir/ --prefix\n\n\n"),
  txn("\ndel nothing\n\n\n"),
  run("txn -w json", 'value("u") = "created"\n\nget u\nput u 2\n\nget t\n\n'),
  run("get t -w json"),
  run("get u -w json"),
];

const leases: readonly Step[] = [
  run("lease grant 600"),
  run("put l/1 a --lease={lease1}"),
  run("put l/2 b --lease={lease1}"),
  run("get l/1 -w json"),
  run("lease timetolive {lease1}"),
  run("lease timetolive {lease1} --keys"),
  run("lease list"),
  watch("lease keep-alive {lease1}", 1),
  run("lease keep-alive --once {lease1}"),
  run("put l/2 c"),
  run("lease timetolive {lease1} --keys"),
  run("put l/2 d --lease={lease1}"),
  run("put --ignore-lease l/2 e"),
  run("get l/2 -w json"),
  run("lease grant 1"),
  run("lease revoke {lease1}"),
  run("get l/ --prefix"),
  run("lease revoke {lease1}"),
  run("lease timetolive {lease1}"),
  run("lease keep-alive --once {lease1}"),
  run("put l/3 a --lease={lease1}"),
  run("lease grant 10000000000"),
  run("lease grant abc"),
];

const watches: readonly Step[] = [
  watch("watch a --rev=2", 9),
  watch("watch dir/ --prefix --rev=1", 9),
  watch("watch a --rev=3 --prev-kv", 11),
  watch("watch dir/a dir/c --rev=1", 6),
  watch("watch  --prefix --rev=1", 21),
  // A line of JSON for each response: what is caught up with comes in one.
  watch("watch a --rev=2 -w json", 1),
  watch("watch dir/ --prefix --rev=1 --prev-kv -w json", 1),
];

const compactions: readonly Step[] = [
  run("compaction 10"),
  run("compaction 10"),
  run("compaction 5"),
  run("compaction 1000000"),
  run("get a --rev=9"),
  run("get dir/ --prefix --rev=10"),
  run("get dir/ --prefix --rev=11"),
  watch("watch a --rev=3", 1),
  run("compaction"),
];

const rest: readonly Step[] = [
  run("endpoint health"),
  run("endpoint hashkv --bad-flag"),
  run("alarm list"),
  run("put final value -w fields"),
  run("get  --prefix --keys-only --order=DESCEND"),
  run("del  --prefix"),
  run("get  --prefix"),
  run("put a after"),
  run("get a -w json"),
];

/** The client does these with keys, leases and watches alone (clientv3/concurrency). */
const recipes: readonly Step[] = [
  run("lock mutex echo held"),
  run("get mutex --prefix --keys-only"),
  watch("elect election first", 2),
];

export const session: readonly Step[] = [
  ...puts,
  ...gets,
  ...deletes,
  ...txns,
  ...leases,
  ...watches,
  ...compactions,
  ...rest,
  ...recipes,
];
