// One nft process that replaces and lists, with the kernel's packet filter: what goes wrong in it
// is noticed, and two processes then do the same. [LCK-25] [LCK-26]
import { spawnSync } from "node:child_process";
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import { firewallBy } from "../../../../hal/linux/firewall/firewall.ts";
import { LISTING_BYTES_MAX } from "../../../../hal/linux/firewall/limits.ts";
import { replacementLine } from "../../../../hal/linux/firewall/replacement.ts";
import type { RunNft } from "../../../../hal/linux/firewall/one-process.ts";
import { type ExitResult, runToExit } from "../../../../hal/linux/process/index.ts";
import type { Firewall } from "../../../../hal/ports.ts";
import { renderTable } from "../../../../warden/lockdown/plan/table.ts";
import { type NftBuild, nftBuild } from "../../../lab/counterparts/nft-builds.ts";
import { lacksProbeNetwork, openEmptyNetwork } from "../../../lab/counterparts/network-probe.ts";
import type { TestContext } from "../../../lab/runner/context.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { startProgram } from "../../../lab/runner/process.ts";

const skip = lacksProbeNetwork("user");
const table = (name: string, addresses = ["192.0.2.1"]): string =>
  renderTable({
    links: [{ name, dhcp4: true, dhcp6: true, ipv6: true }],
    management: addresses,
    echo: "management",
    networkRules: [],
  });
const [BEFORE, WANTED] = [table("eth0"), table("eth1")];
const withRule = (rule: string): string => WANTED.replace("\t\tct state", `\t\t${rule}\n\t\tct state`);

type Args = Parameters<RunNft>;

interface World {
  readonly firewall: Firewall;
  /** `-i`, `-f`, `list` of each run since the last call. */
  readonly runs: () => readonly string[];
  /** nft itself, past the firewall. */
  readonly nft: RunNft;
  /** All tables with their handles, which are new when a table was made anew. */
  readonly ruleset: () => string;
  readonly command: readonly [string, ...string[]];
}

/** The machine's nft without root, and with root that of the gateway's image. */
const BUILDS = [
  { name: "nft", build: undefined, skip },
  { name: "nft of Debian 13", build: "of Debian 13", skip: lacksProbeNetwork("netns") || needs("nft-debian13") },
] as const;

interface WorldOptions {
  /** Stands in for each run of `nft -i`; by default it is nft's own. */
  readonly interactive?: (nft: RunNft, ...args: Args) => Promise<ExitResult>;
  readonly build?: NftBuild | undefined;
  /** The bound of a run of `nft -i`. */
  readonly withinMs?: number;
}

async function world(t: TestContext, { interactive, build, withinMs = 60_000 }: WorldOptions = {}): Promise<World> {
  const network = await openEmptyNetwork(build === undefined ? "user" : "netns");
  t.teardown(() => network.stop());
  const [program, ...words] = network.nft;
  const before = build === undefined ? words : [...words.slice(0, -1), await nftBuild(t, build)];
  const nft: RunNft = (args, options) =>
    runToExit(program, [...before, ...args], {
      timeoutMs: args.includes("-i") ? withinMs : 60_000,
      outputBytesMax: LISTING_BYTES_MAX,
      ...options,
    });
  const runs: string[] = [];
  const firewall = firewallBy((args, options) => {
    runs.push(args.find((arg) => arg === "-i" || arg === "-f") ?? "list");
    return args.includes("-i") && interactive !== undefined ? interactive(nft, args, options) : nft(args, options);
  });
  await nft(["-f", "-"], { input: `add table inet other { chain input { accept; }; }\n${BEFORE}` });
  return {
    firewall,
    nft,
    runs: () => runs.splice(0),
    ruleset: () => spawnSync(program, [...before, "-a", "list", "ruleset"], { encoding: "utf8" }).stdout,
    command: network.nft,
  };
}

for (const { name, build, skip: lacking } of BUILDS)
  test(
    `[LCK-25] ${name}: a replacement is one process, which gets no home and no terminal, and its listing has the kernel's handles`,
    { skip: lacking },
    async (t) => {
      let seen: Args | undefined;
      let result: ExitResult | undefined;
      const interactive = async (nft: RunNft, ...args: Args): Promise<ExitResult> => {
        seen = args;
        return (result = await nft(...args));
      };
      const { firewall, runs, ruleset } = await world(t, { build, interactive });
      t.equal(await firewall.replace(WANTED), WANTED);
      t.equal(await firewall.replace(BEFORE), BEFORE);
      t.same(runs(), ["-i", "-i"]);
      t.match(seen?.[1].env, { HOME: "/nonexistent", TERM: "dumb", LC_ALL: "C" });
      t.equal(String(seen?.[1].input).split("\n").length, 3, "two lines, two transactions");
      t.match(result?.stdout, /"handle": [1-9]/u);
      t.notMatch(result?.stdout, /"handle": 0/u);
      t.match(ruleset(), /table inet other/u);
    },
  );

const killed = (): never => {
  throw new Fault("process.failed", "run nft: it was ended by SIGKILL");
};
const hung = (): never => {
  throw new Fault("process.timeout", "run nft: it did not end and was killed");
};
const only = (line: 0 | 1, { input, ...rest }: Args[1]): Args[1] => ({
  ...rest,
  input: `${String(input).split("\n")[line] ?? ""}\n`,
});

/** What an `nft -i` may do, and whether the table was in force after it. */
const ODD: Readonly<Record<string, (nft: RunNft, ...args: Args) => Promise<ExitResult>>> = {
  "has no interactive mode": async () => ({
    exitCode: 1,
    stdout: "",
    stderr: "nft: interactive CLI not supported in this build\n",
  }),
  "hangs before it did anything": async () => hung(),
  "hangs after the commit": async (nft, args, options) =>
    (await nft(args, only(0, options))).exitCode === 0 ? hung() : killed(),
  "is killed before it did anything": async () => killed(),
  "is killed between the two commands": async (nft, args, options) => {
    await nft(args, only(0, options));
    return killed();
  },
  "ends between the two commands": async (nft, args, options) => await nft(args, only(0, options)),
  "does nothing and says nothing": async () => ({ exitCode: 0, stdout: "", stderr: "" }),
  "ignores the table and lists what is there": async (nft, args, options) => await nft(args, only(1, options)),
  "writes half of the listing": async (nft, args, options) => {
    const result = await nft(args, options);
    return { ...result, stdout: result.stdout.slice(0, result.stdout.length / 2) };
  },
  "breaks the listing over lines": async (nft, args, options) => {
    const result = await nft(args, options);
    return { ...result, stdout: result.stdout.replaceAll(", ", ",\n") };
  },
  "lists twice": async (nft, args, options) => {
    const result = await nft(args, options);
    return { ...result, stdout: result.stdout.repeat(2) };
  },
  "lists its cache before the commit": async (nft, args, options) => {
    const result = await nft(args, options);
    return { ...result, stdout: result.stdout.replaceAll(/"handle": \d+/gu, '"handle": 0') };
  },
  "warns of something": async (nft, args, options) => ({
    ...(await nft(args, options)),
    stderr: "Warning: the kernel is newer\n",
  }),
  "ends with another code": async (nft, args, options) => ({ ...(await nft(args, options)), exitCode: 3 }),
  "writes more than the bound": async () => {
    throw new Fault("process.failed", "run nft: it wrote more than 4194304 bytes");
  },
};

for (const [what, interactive] of Object.entries(ODD))
  test(`[LCK-26] an nft that ${what} proves nothing: other processes replace the table and read it`, { skip }, async (t) => {
    const { firewall, runs } = await world(t, { interactive });
    t.equal(await firewall.replace(WANTED), WANTED);
    t.same(runs(), ["-i", "-f", "list"]);
    t.equal(await firewall.read(), WANTED);
    runs();
    t.equal(await firewall.replace(BEFORE), BEFORE);
    t.same(runs(), ["-f", "list"], "and it is not asked again");
  });

test(
  "[LCK-26] a process that hangs is killed with what it started, and others do its work",
  { skip: lacksProbeNetwork("netns") },
  async (t) => {
    const { firewall, runs } = await world(t, { build: "that hangs", withinMs: 200 });
    t.equal(await firewall.replace(WANTED), WANTED);
    t.same(runs(), ["-i", "-f", "list"]);
  },
);

/** Places at which the line is broken in two: nft repeats much of it in each of its errors. */
const CUTS = 160;

test(
  "[LCK-26] a line editor with a bound may break the line anywhere after its first 80 characters: an open brace makes each piece an error",
  { skip },
  async (t) => {
    const { nft, ruleset } = await world(t);
    const before = ruleset();
    const line = replacementLine(WANTED) ?? "";
    const inTwo = Array.from({ length: CUTS }, (_, n) => 80 + Math.floor((n * (line.length - 81)) / CUTS)).map((at) => [
      line.slice(0, at),
      line.slice(at),
    ]);
    const inMany = [80, 128, 256, 512, 1024].map((width) => line.match(new RegExp(`.{1,${width}}`, "gu")) ?? []);
    const pieces = [...inTwo, ...inMany].flat();
    t.ok(pieces.length > 300);
    const { stderr } = await nft(["-i"], { input: pieces.map((piece) => `${piece.trimEnd()}\n`).join("") });
    t.ok((stderr.match(/^Error: /gmu)?.length ?? 0) >= pieces.length);
    t.equal(ruleset(), before);
  },
);

test("[LCK-26] another program that writes to the table between commit and listing does not stay in it", { skip }, async (t) => {
  const change = "insert rule inet sallyport input accept";
  const { firewall, runs, nft } = await world(t, {
    interactive: async (run, args, options) => {
      await run(args, only(0, options));
      await run([change], {});
      return await run(args, only(1, options));
    },
  });
  t.equal(await firewall.replace(WANTED), WANTED);
  t.same(runs(), ["-i", "-f", "list"]);
  const stubborn = firewallBy(async (args, options) => {
    if (args.includes("list") || args.includes("-i")) await nft([change], {});
    return await nft(args, options);
  });
  const found = await stubborn.replace(BEFORE);
  t.equal(found, BEFORE, "one that came before the replacement is gone with it");
  const later = firewallBy(async (args, options) => {
    if (args.includes("-i")) return killed();
    if (args.includes("list")) await nft([change], {});
    return await nft(args, options);
  });
  t.match(await later.replace(WANTED), /^\t\taccept$/mu, "one that came after it is shown");
});

/** By nft's parser, by its evaluation, and by the kernel in the middle of the transaction. */
const REFUSED: Readonly<Record<string, string>> = {
  "a statement that does not exist": withRule("nonsense"),
  "an interface name that is too long": withRule('iifname "a-name-of-more-than-16" accept'),
  "a set that is not there": withRule("ip saddr @nowhere accept"),
  "a chain that is not there": withRule("jump nowhere"),
  "a chain whose name is too long": WANTED.replace("chain forward {", `chain ${"f".repeat(300)} {`),
  "a hook that the chain type has not": WANTED.replace("type filter hook forward", "type nat hook forward"),
  "a statement that the kernel allows elsewhere only": withRule("masquerade"),
  "intervals that overlap": WANTED.replace("{ 192.0.2.1 }", "{ 192.0.2.0/24, 192.0.2.7 }"),
  "a chain with two hooks": WANTED.replace("\tchain forward {", "\tchain input {"),
};

for (const { name, build, skip: lacking } of BUILDS)
  for (const [what, refused] of Object.entries(REFUSED))
    test(`[LCK-5] [LCK-26] ${name} refuses a table with ${what}, and not even a handle changes`, { skip: lacking }, async (t) => {
      const { firewall, ruleset, runs } = await world(t, { build });
      const before = ruleset();
      await t.rejects(firewall.replace(refused), { code: "firewall.refused", message: /nft ended with code 1: .*\w/u });
      t.equal(ruleset(), before);
      t.same(runs(), ["-i", "-f"]);
      t.equal(await firewall.replace(WANTED), WANTED);
      t.same(runs(), ["-i"], "a refusal is no reason to give up the one process");
    });

test("[LCK-26] a table that another program owns is refused, and comes in force once it is free", { skip }, async (t) => {
  const { firewall, nft, command } = await world(t);
  await nft(["delete table inet sallyport"], {});
  const [program, ...before] = command;
  const owner = startProgram({ name: "owner", command: program, args: [...before, "-i"], input: true });
  t.teardown(async () => void (await owner.stop()));
  owner.write("add table inet sallyport { flags owner; }\nlist tables\n");
  await owner.line(/table inet sallyport/u);
  await t.rejects(firewall.replace(WANTED), { code: "firewall.refused" });
  await owner.stop();
  t.equal(await firewall.replace(WANTED), WANTED);
});

test("[LCK-26] a refusal after a run that did replace the table is no refusal: the table is in force", { skip }, async (t) => {
  const { nft } = await world(t);
  const firewall = firewallBy(async (args, options) => {
    if (args.includes("-f"))
      return { exitCode: 1, stdout: "", stderr: "Error: Could not process rule: No buffer space available\n" };
    const result = await nft(args, options);
    return args.includes("-i") ? killed() : result;
  });
  t.equal(await firewall.replace(WANTED), WANTED);
});

test("[LCK-26] where neither way gives an answer, it is not known what is in force", { skip }, async (t) => {
  for (const code of ["process.timeout", "process.failed"] as const) {
    const firewall = firewallBy(async () => {
      throw new Fault(code, "run nft");
    });
    await t.rejects(firewall.replace(WANTED), { code });
  }
  const { nft } = await world(t);
  const unreadable = firewallBy((args, options) =>
    args.includes("-f") ? nft(args, options) : Promise.resolve({ exitCode: 1, stdout: "", stderr: "" }),
  );
  await t.rejects(unreadable.replace(WANTED), { code: "firewall.unreadable" });
});

for (const { name, build, skip: lacking } of BUILDS)
  test(`[LCK-25] ${name}: the largest table fills every pipe and is one process all the same`, { skip: lacking }, async (t) => {
    const addresses = Array.from({ length: 4000 }, (_, n) => `10.${n >> 7}.${(n & 127) * 2}.1`);
    const large = table("eth1", addresses);
    t.ok(large.length > 45_000, `${large.length} characters`);
    const { firewall, runs } = await world(t, { build });
    t.equal(await firewall.replace(large), large);
    t.same(runs(), ["-i"]);
    const larger = table(
      "eth1",
      Array.from({ length: 1700 }, (_, n) => `2001:db8:1234:5678:9abc:def0:1234:${(0x1000 + 2 * n).toString(16)}`),
    );
    t.ok(larger.length > 65_536);
    t.equal(await firewall.replace(larger), larger);
    t.same(runs(), ["-f", "list"], "a table that is too large for a line goes by a file");
  });

test("[LCK-25] a name that is not ASCII goes by a file, in the form in which it is read", { skip }, async (t) => {
  const { firewall, runs } = await world(t);
  const named = table("größe0");
  t.equal(await firewall.replace(named), named);
  t.same(runs(), ["-f", "list"]);
});
