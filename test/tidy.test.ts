// The structure of the project as a test: the rules of docs/ARCHITECTURE.md that neither the
// compiler's references nor the linter can express.
import { dirname, join, normalize } from "node:path";
import { existsSync } from "node:fs";
import { test } from "tap";
import * as v from "valibot";
import { commentLines, proseLines } from "./lab/runner/comments.ts";
import { PROJECT, projectFiles, readProjectFile, type Source, sources } from "./lab/runner/sources.ts";

const all = sources();
const shipped = all.filter(({ path }) => !path.startsWith("test/"));

/**
 * Who may import whom, by top-level folder. What others may read of a folder is its `format` files
 * and hal's Fault.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  hal: [],
  ota: ["hal"],
  provisioning: ["hal"],
  warden: ["ota", "hal"],
  agent: ["provisioning", "ota", "hal"],
  hub: [],
  build: [],
  test: ["agent", "warden", "hal", "provisioning", "ota", "hub", "build"],
};
/** Folders whose format files a folder may read besides. */
const MAY_READ: Readonly<Record<string, readonly string[]>> = {
  agent: ["warden"],
  hub: ["agent", "warden", "hal", "provisioning", "ota"],
  build: ["agent", "warden", "hal", "provisioning", "ota"],
};
/**
 * Doors that a folder may use besides: hub and release tool write durably as the device does
 * [STA-1], and judge a repository by the device's own verifier [OTA-25].
 */
const MAY_ENTER: Readonly<Record<string, readonly string[]>> = {
  agent: ["warden/client/index.ts"],
  hub: ["hal/inspector.ts", "hal/linux/files/index.ts", "hal/output.ts", "ota/trust/index.ts"],
  build: ["hal/inspector.ts", "hal/linux/files/index.ts", "hal/output.ts", "ota/trust/index.ts"],
};
const WORLD = [
  "fs",
  "fs/promises",
  "child_process",
  "net",
  "tls",
  "http",
  "https",
  "http2",
  "dgram",
  "dns",
  "worker_threads",
  "cluster",
  "inspector",
];
const WORLD_ALLOWED = [
  /^hal\/linux\//u,
  /^warden\/socket\//u,
  /^agent\/tunnel\//u,
  /^agent\/local\//u,
  /^provisioning\/(?:enrollers|tls)\//u,
  /^ota\/http\//u,
  /(^|\/)main\.ts$/u,
  /^hub\//u,
  /^build\//u,
  /^test\//u,
];

/** What people read is at most this wide; code is the formatter's. */
const COLUMNS_MAX = 100;

/** Exported type names that several folders share, each with its reason. */
const SAME_NAME_ALLOWED: Readonly<Record<string, string>> = {
  State: "machine.ts: the state of that folder's state machine",
  Event: "machine.ts: what the machine reacts to",
  Effect: "machine.ts: what the driver must do",
  Step: "machine.ts: the next state and its effects",
};

const topOf = (path: string): string => path.split("/")[0] ?? "";
/** Formats, and what every program of ours needs. */
const isFormat = (path: string): boolean =>
  path.endsWith("/format.ts") || path.includes("/format/") || ["hal/fault.ts", "hal/line-pace.ts"].includes(path);
const isMain = (path: string): boolean => path.endsWith("/main.ts");

function offences(find: (source: Source) => readonly string[], among = all): readonly string[] {
  return among.flatMap((source) => find(source).map((what) => `${source.path}: ${what}`));
}

function matches(source: Source, pattern: RegExp): readonly string[] {
  return [...source.code.matchAll(pattern)].map(
    (match) => `line ${source.code.slice(0, match.index).split("\n").length}: ${match[0].trim()}`,
  );
}

test("folders import only those below them, and of others only their formats", async (t) => {
  const found = offences(({ path, imports }) =>
    imports.flatMap(({ target }) => {
      if (target === undefined || topOf(target) === topOf(path)) return [];
      const to = topOf(target);
      const allowed =
        MAY_IMPORT[topOf(path)]?.includes(to) === true || (isFormat(target) && MAY_READ[topOf(path)]?.includes(to) === true);
      const door = MAY_ENTER[topOf(path)]?.includes(target) === true;
      return allowed || door ? [] : [`must not import ${target}`];
    }),
  );
  t.same(found, []);
});

test("a folder is entered by its door: index.ts, a format, a port or the fault", async (t) => {
  const found = offences(
    ({ path, imports }) =>
      imports.flatMap(({ target }) => {
        if (target === undefined || topOf(target) === topOf(path)) return [];
        const door = target.endsWith("/index.ts") || isFormat(target) || /^hal\/[a-z-]+\.ts$/u.test(target);
        return door ? [] : [`enters by ${target}`];
      }),
    shipped,
  );
  t.same(found, []);
});

test("a sub-folder is entered by its door as well: index.ts, ports.ts or a format", async (t) => {
  const found = offences(
    ({ path, imports }) =>
      imports.flatMap(({ target }) => {
        if (target === undefined || topOf(target) !== topOf(path)) return [];
        const isWithin = `${dirname(path)}/`.startsWith(`${dirname(target)}/`);
        const isDoor = /\/(?:index|ports)\.ts$/u.test(target) || isFormat(target);
        return isWithin || isDoor ? [] : [`enters by ${target}`];
      }),
    shipped,
  );
  t.same(found, []);
});

test("an exported type name means one thing", async (t) => {
  const folders = new Map<string, Set<string>>();
  for (const { path, code } of shipped)
    for (const [, name = ""] of code.matchAll(/^export (?:abstract )?(?:interface|type|class) (\w+)/gmu))
      folders.set(name, new Set([...(folders.get(name) ?? []), dirname(path)]));
  const several = [...folders]
    .filter(([name, { size }]) => size > 1 && SAME_NAME_ALLOWED[name] === undefined)
    .map(([name, found]) => `${name}: ${[...found].join(", ")}`);
  t.same(several, []);
  t.same(
    Object.keys(SAME_NAME_ALLOWED).filter((name) => (folders.get(name)?.size ?? 0) < 2),
    [],
    "every exception is needed",
  );
});

test("comments and documents are at most 100 columns wide", async (t) => {
  const isWide = (line: string | undefined): boolean => (line ?? "").length > COLUMNS_MAX;
  t.same(
    offences(({ text }) => {
      const lines = text.split("\n");
      return [...commentLines(text)].filter((n) => isWide(lines[n - 1])).map((n) => `line ${n}`);
    }),
    [],
  );
  t.same(
    projectFiles()
      .filter((path) => path.endsWith(".md"))
      .flatMap((path) => {
        const text = readProjectFile(path);
        const lines = text.split("\n");
        return proseLines(text)
          .filter((n) => isWide(lines[n - 1]))
          .map((n) => `${path}: line ${n}`);
      }),
    [],
  );
  t.same(
    projectFiles()
      .filter((path) => path.endsWith(".sh") || path.startsWith("build/units/") || path.startsWith(".ci/"))
      .flatMap((path) =>
        readProjectFile(path)
          .split("\n")
          .flatMap((line, index) => (/^\s*#/u.test(line) && isWide(line) ? [`${path}: line ${index + 1}`] : [])),
      ),
    [],
  );
});

test("hal/linux is imported by the main.ts files and tests only; hub and build may use its files", async (t) => {
  const found = offences(({ path, imports }) =>
    path.startsWith("hal/linux/") || isMain(path) || path.startsWith("test/")
      ? []
      : imports
          .filter(({ target }) => target?.startsWith("hal/linux/") && !MAY_ENTER[topOf(path)]?.includes(target))
          .map(({ specifier }) => specifier),
  );
  t.same(found, []);
});

test("builtins that touch the world are used where the design allows them", async (t) => {
  const found = offences(({ path, imports }) =>
    WORLD_ALLOWED.some((pattern) => pattern.test(path))
      ? []
      : imports
          .filter(({ specifier, typeOnly }) => !typeOnly && WORLD.includes(specifier.replace(/^node:/u, "")))
          .map(({ specifier }) => specifier),
  );
  t.same(found, []);
});

test("serialport and systeminformation are used under hal/linux only, builtins by their node: name", async (t) => {
  const found = offences(({ path, imports }) =>
    imports
      .filter(
        ({ specifier }) =>
          (!path.startsWith("hal/linux/") && /^(@serialport\/|serialport|systeminformation)/u.test(specifier)) ||
          WORLD.includes(specifier),
      )
      .map(({ specifier }) => specifier),
  );
  t.same(found, []);
});

test("nobody imports tests; nobody but tests imports hub or build", async (t) => {
  const found = offences(
    ({ path, imports }) =>
      imports
        .filter(
          ({ target }) =>
            target !== undefined && ["test", "hub", "build"].includes(topOf(target)) && topOf(target) !== topOf(path),
        )
        .map(({ specifier }) => specifier),
    shipped,
  );
  t.same(found, []);
});

test("there is no import cycle", async (t) => {
  const next = new Map(
    all.map(({ path, imports }) => [
      path,
      imports.filter(({ typeOnly }) => !typeOnly).flatMap(({ target }) => (target === undefined ? [] : [target])),
    ]),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
    if (trail.includes(path) || done.has(path)) return;
    for (const target of next.get(path) ?? []) walk(target, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) walk(path, []);
  t.same(cycles, []);
});

test("every relative import exists", async (t) => {
  t.same(
    offences(({ imports }) =>
      imports
        .filter(
          ({ target }) =>
            target !== undefined &&
            !existsSync(join(PROJECT, target)) &&
            !existsSync(join(PROJECT, target.replace(/\.js$/u, ".d.ts"))),
        )
        .map(({ specifier }) => specifier),
    ),
    [],
  );
});

test("no any, no cast but `as const`, no non-null assertion, no suppressed check", async (t) => {
  t.same(
    offences((source) =>
      matches(
        source,
        /[:<,|&]\s*any\b(?!\s*[:(])|\bas (?!const\b)(?:unknown|any|[A-Z{(][\w.<>[\]]*)(?=[\s;,)\]}])(?![^\n]*\bfrom\b)/gu,
      ).filter((line) => !/import|export/u.test(line)),
    ),
    [],
  );
  t.same(
    offences(
      ({ text }) => (/@ts-(?:ignore|expect-error|nocheck)|(?:oxlint|eslint)-disable/u.test(text) ? ["suppresses a check"] : []),
      all.filter(({ path }) => path !== "test/tidy.test.ts"),
    ),
    [],
  );
});

test("no plain Error is made: what goes wrong is a Fault with a code", async (t) => {
  t.same(
    offences((source) => matches(source, /\bnew (?:Type|Range|Syntax)?Error\(/gu), shipped).filter(
      (line) => !line.startsWith("hal/format/json.ts"),
    ),
    [],
  );
});

test("input is validated by hal/format/schema.ts only, which stops at a bounded number of issues", async (t) => {
  t.same(
    offences((source) => matches(source, /\bv\.(?:safeParse|parse|assert|parser|safeParser)\(/gu), shipped).filter(
      (line) => !line.startsWith("hal/format/schema.ts"),
    ),
    [],
  );
  t.same(
    offences((source) => matches(source, /\bJSON\.parse\(/gu), shipped).filter((line) => !line.startsWith("hal/format/json.ts")),
    [],
  );
});

test("no state at module level: no top-level let or var, no top-level await outside main.ts", async (t) => {
  t.same(
    offences((source) => matches(source, /^(?:export )?(?:let|var) /gmu)),
    [],
  );
  t.same(
    offences((source) =>
      isMain(source.path) || source.path.startsWith("test/") || source.path.startsWith("build/")
        ? []
        : matches(source, /^(?:const .*= )?await /gmu),
    ),
    [],
  );
});

test("every path can be typed: letters, digits and . _ - @ only", async (t) => {
  // systemd escapes "-" in the name of a mount unit.
  for (const path of projectFiles()) t.match(path, /^[A-Za-z0-9._@/-]+(?:\\x2d[A-Za-z0-9.-]+)?$/u);
});

test("no leftover reminders", async (t) => {
  const words = /\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b/u;
  t.same(
    offences(({ text }) => (words.test(text) ? ["has a reminder"] : [])),
    [],
  );
});

test("every rule of docs/protocol.md is cited in code and in a test's title, and every cited rule exists", async (t) => {
  const rules = new Set(
    [...readProjectFile("docs/protocol.md").matchAll(/^- \*\*\[([A-Z]{2,3}-\d+)\]\*\*/gmu)].map((match) => match[1] ?? ""),
  );
  const cited = (among: readonly Source[], pattern: RegExp): Set<string> =>
    new Set(
      among.flatMap(({ text }) =>
        [...text.matchAll(pattern)].flatMap((match) =>
          [...(match[0] ?? "").matchAll(/\[([A-Z]{2,3}-\d+)\]/gu)].map((id) => id[1] ?? ""),
        ),
      ),
    );
  const inCode = cited(shipped, /\[[A-Z]{2,3}-\d+\]/gu);
  const inTitles = cited(
    all.filter(({ path }) => path.startsWith("test/") && path !== "test/tidy.test.ts"),
    /(?:test|title)\S*\(?\s*[`"'][^`"'\n]*/gu,
  );
  t.ok(rules.size > 0, "there are rules");
  t.same(
    [...rules].filter((rule) => !inCode.has(rule)),
    [],
    "rules no code cites",
  );
  t.same(
    [...rules].filter((rule) => !inTitles.has(rule)),
    [],
    "rules no test cites",
  );
  t.same(
    [...inCode, ...inTitles].filter((rule) => /^(?:ID|TUN|OTA|LCK|OPS|CON|AUD|STA)-/u.test(rule) && !rules.has(rule)),
    [],
    "cited rules that do not exist",
  );
});

test("links between the documents resolve", async (t) => {
  const broken = projectFiles()
    .filter((path) => path.endsWith(".md"))
    .flatMap((path) =>
      [...readProjectFile(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/gu)]
        .map((match) => normalize(join(dirname(path), match[1] ?? "")))
        .filter((target) => !existsSync(join(PROJECT, target)))
        .map((target) => `${path} -> ${target}`),
    );
  t.same(broken, []);
});

test("every runtime dependency is named with its reason in docs/decisions", async (t) => {
  const manifest = v.object({ dependencies: v.record(v.string(), v.string()) });
  const { dependencies } = v.parse(manifest, JSON.parse(readProjectFile("package.json")));
  const decisions = projectFiles()
    .filter((path) => path.startsWith("docs/decisions/"))
    .map((path) => readProjectFile(path))
    .join("\n");
  t.same(
    Object.keys(dependencies).filter((name) => !decisions.includes(`\`${name}\``)),
    [],
  );
});

test("no private key lies in the tree but marked test vectors, and no path of anybody's machine", async (t) => {
  const key = /-----BEGIN (?:[A-Z0-9]+ )?PRIVATE KEY-----\n[A-Za-z0-9+/]{40}/u;
  const texts = projectFiles()
    .filter((path) => !path.endsWith(".png") && !path.startsWith("test/vectors/"))
    .map((path) => ({ path, text: readProjectFile(path) }));
  t.same(
    texts.filter(({ text }) => key.test(text)).map(({ path }) => path),
    [],
  );
  t.same(
    texts
      .filter(({ path, text }) => path !== "test/tidy.test.ts" && /\/home\/[a-z]+\/|\/work\/(?:main|shared)/u.test(text))
      .map(({ path }) => path),
    [],
  );
});
