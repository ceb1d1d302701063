// The image's Debian base: a root with the build tools, and the part of it that goes onto the
// device. It is made once for each list of packages, and again each week for Debian's security
// updates.
import { createHash } from "node:crypto";
import { cp, lstat, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { assert, Fault } from "../../hal/fault.ts";
import { hasCode } from "../errno.ts";
import { isThere } from "./files.ts";
import { cacheDirectory } from "./cache.ts";
import { BESIDE_THE_ROOT, LEFT_OUT, MODULES_KEPT, MODULES_LEFT_OUT, PACKAGES, PATHS_LEFT_OUT, SUITE } from "./packages.ts";
import { CACHE, IMAGE_FOLDER } from "./paths.ts";
import { run } from "./run.ts";
import { readSources, SOURCES } from "./sources.ts";

const POLICY = "policy.txt";
/** An older base is not used, because it lacks later updates. */
const AGE_MS_MAX = 7 * 24 * 3_600_000;

export interface Base {
  /** A complete Debian with the build tools, for `chroot`. */
  readonly tools: string;
  /** The part that goes onto the device. */
  readonly device: string;
  /** The kernel's version, which is the name of its directory of modules. */
  readonly kernel: string;
  /** What apt could choose from and what it chose: the output of `apt-cache policy`. */
  readonly policy: string;
}

/** @returns a base that is at most a week old. @throws Fault `process.failed`, `usage.invalid`. */
export async function debianBase(say: (line: string) => void): Promise<Base> {
  const sources = await readSources();
  const directory = await cacheDirectory("base", await cacheKey(sources), async (made) => {
    say(`making the Debian base, which is needed once a week for this list of packages (about a minute)`);
    await makeBase(made);
  });
  const tools = join(directory, "tools");
  const [kernel, ...others] = await readdir(join(tools, "usr/lib/modules"));
  if (kernel === undefined || others.length > 0)
    throw new Fault("assert.broken", `the base "${directory}" must have one kernel; remove the directory and try again`);
  return { tools, device: join(directory, "device"), kernel, policy: join(directory, POLICY) };
}

/** Whether the next call of {@link debianBase} finds a base. @throws Fault `usage.invalid`. */
export async function isBaseMade(): Promise<boolean> {
  return isThere(join(CACHE, `base-${await cacheKey(await readSources())}`));
}

/** The key changes with everything that determines the base, and each week. */
async function cacheKey(sources: string): Promise<string> {
  const recipe = await Promise.all(["packages.ts", "base.ts"].map((name) => readFile(join(IMAGE_FOLDER, name))));
  const hash = createHash("sha256")
    .update(String(Math.floor(Date.now() / AGE_MS_MAX)))
    .update(sources);
  for (const part of recipe) hash.update(part);
  return hash.digest("hex").slice(0, 16);
}

async function makeBase(directory: string): Promise<void> {
  const tools = join(directory, "tools");
  const device = join(directory, "device");
  const archive = join(directory, "root.tar");
  await run(
    "mmdebstrap",
    [
      "--variant=minbase",
      `--include=${PACKAGES.join(",")}`,
      // The last moment at which apt still knows the available versions and sources (mmdebstrap(1),
      // HOOKS).
      '--customize-hook=chroot "$1" apt-cache policy > "$SALLYPORT_POLICY"',
      '--customize-hook=chroot "$1" sh -c "apt-cache policy \\$(dpkg-query -W -f \'\\${Package} \')" >> "$SALLYPORT_POLICY"',
      SUITE,
      archive,
      SOURCES,
    ],
    { env: { SALLYPORT_POLICY: join(directory, POLICY) } },
  );
  await mkdir(tools, { mode: 0o755 });
  await run("tar", ["-C", tools, "--numeric-owner", "-xf", archive]);
  await rm(archive);
  await run("cp", ["-a", "--reflink=auto", tools, device]);
  await prune(tools, device);
}

async function prune(tools: string, device: string): Promise<void> {
  const inventory = await run("chroot", [tools, "dpkg-query", "-W", "-f", "${Package} ${Version}\n"]);
  const installed = inventory
    .trimEnd()
    .split("\n")
    .map((line) => ({ name: line.split(" ", 1)[0] ?? "", line }));
  const filesOf = await packageFiles(
    tools,
    installed.map(({ name }) => name),
  );
  for (const path of new Set(LEFT_OUT.flatMap((name) => filesOf.get(name) ?? [])))
    await unlinkUnlessDirectory(join(device, path));
  for (const path of PATHS_LEFT_OUT) await rm(join(device, path), { recursive: true, force: true });
  await pruneModules(device);
  const remaining: string[] = [];
  for (const { name, line } of installed)
    if (BESIDE_THE_ROOT.includes(name) || (await anyIn(device, filesOf.get(name) ?? []))) remaining.push(line);
  await mkdir(join(device, "usr/share/sallyport"), { recursive: true });
  await writeFile(join(device, "usr/share/sallyport/packages.txt"), `${remaining.join("\n")}\n`);
  for (const folder of ["var", "boot"]) await mkdir(join(device, folder), { mode: 0o755 });
  // No program on a gateway may become root by the mode of a file.
  await run("find", [device, "-xdev", "-type", "f", "-perm", "/6000", "-exec", "chmod", "ug-s", "{}", "+"]);
}

/** @returns the files of each package: dpkg-query(1) prints an empty line between packages. */
async function packageFiles(tools: string, names: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const lists = (await run("chroot", [tools, "dpkg-query", "-L", ...names])).split("\n\n");
  assert(lists.length === names.length, "dpkg-query lists each package's files");
  return new Map(
    names.map((name, index) => [name, (lists[index] ?? "").split("\n").filter((path) => path.startsWith("/"))] as const),
  );
}

/** Whether one of the paths is left and is not a directory. */
async function anyIn(device: string, paths: readonly string[]): Promise<boolean> {
  for (const path of paths) {
    const found = await lstat(join(device, path)).catch((error: unknown) => {
      if (!hasCode(error, "ENOENT", "ENOTDIR")) throw error;
    });
    if (found?.isDirectory() === false) return true;
  }
  return false;
}

async function unlinkUnlessDirectory(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() !== true) await rm(path, { force: true });
}

async function pruneModules(device: string): Promise<void> {
  const modules = join(device, "usr/lib/modules");
  for (const kernel of await readdir(modules)) {
    const top = join(modules, kernel, "kernel");
    const saved = join(device, "saved");
    await mkdir(saved);
    for (const name of MODULES_KEPT) {
      const found = (await run("find", [top, "-name", `${name}.ko*`]))
        .trim()
        .split("\n")
        .filter((path) => path !== "");
      for (const path of found) await cp(path, join(saved, path.slice(top.length + 1)));
    }
    for (const folder of MODULES_LEFT_OUT) await rm(join(top, folder), { recursive: true, force: true });
    await run("cp", ["-a", `${saved}/.`, top]);
    await rm(saved, { recursive: true });
    await dropUnloadable(join(modules, kernel));
    // Unpacked: the image is compressed as a whole, and a module then loads in a quarter of the
    // time.
    await run("find", [top, "-name", "*.ko.xz", "-exec", "xz", "-d", "{}", "+"]);
    await run("chroot", [device, "depmod", kernel]);
  }
}

/**
 * Removes modules whose dependencies were removed, because they cannot be loaded. Debian's list of
 * dependencies is from before any was left out (modules.dep(5)).
 */
async function dropUnloadable(directory: string): Promise<void> {
  const there = new Set(await readdir(directory, { recursive: true }));
  for (const line of (await readFile(join(directory, "modules.dep"), "utf8")).split("\n")) {
    const [module = "", needs = ""] = line.split(":");
    if (there.has(module) && !needs.split(" ").every((other) => other === "" || there.has(other)))
      await rm(join(directory, module));
  }
}
