// Bundles the device's programs so that code which several of them need is there once. esbuild
// makes one file for each set of programs that need the same modules; here it gets the names of
// that set, which stay the same when the code changes:
//   sallyport-agent/main.js      what only the agent needs
//   shared/agent-warden.js       what agent and warden need, and neither installer nor command
// A program loads its main.js and the shared files that bear its name, and nothing else.
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { build, type BuildOptions, type Metafile } from "esbuild";
import { Fault } from "../hal/fault.ts";

/** The folder of the shared files, beside those of the programs. */
export const SHARED = "shared";

/** A program: the folder of its main.js, its short name in names of shared files, its main file. */
export interface Sharer {
  readonly name: string;
  readonly short: string;
  readonly entry: string;
}

/** What was built: bytes by file, relative to the output directory. */
export type FileSizes = Readonly<Record<string, number>>;

/**
 * Bundles programs that share code. @param outdir where their folders are made
 * @param options esbuild's, which hold for the bundles of all programs
 * @throws Fault `assert.broken` when esbuild makes files of which we would not know who loads them.
 */
export async function buildShared(sharers: readonly Sharer[], outdir: string, options: BuildOptions): Promise<FileSizes> {
  const { outputFiles, metafile } = await build({
    ...options,
    entryPoints: Object.fromEntries(sharers.map(({ name, entry }) => [`${name}/main`, entry])),
    outdir,
    splitting: true,
    chunkNames: `${SHARED}/[hash]`,
    metafile: true,
    write: false,
  });
  const names = sharedNames(sharers, metafile);
  const sizes: Record<string, number> = {};
  for (const { path, text } of outputFiles) {
    const folder = basename(dirname(path));
    const file = folder === SHARED ? `${SHARED}/${nameOf(path, names)}` : `${folder}/${basename(path)}`;
    const renamed = [...names].reduce((code, [from, to]) => code.replaceAll(`/${from}"`, `/${to}"`), text);
    await mkdir(join(outdir, folder), { recursive: true });
    await writeFile(join(outdir, file), renamed);
    sizes[file] = Buffer.byteLength(renamed);
  }
  return sizes;
}

/** @returns for each file name that esbuild made of a hash the one that says who loads the file. */
function sharedNames(sharers: readonly Sharer[], { outputs }: Metafile): ReadonlyMap<string, string> {
  const users = new Map<string, string[]>();
  for (const { short, entry } of sharers) {
    const output = Object.values(outputs).find(({ entryPoint }) => entryPoint === entry);
    // The main file imports each shared file of its program, also what only others of them use.
    for (const { path, external } of output?.imports ?? [])
      if (external !== true) users.set(basename(path), [...(users.get(basename(path)) ?? []), short]);
  }
  return new Map([...users].map(([from, shorts]) => [from, `${shorts.toSorted().join("-")}.js`]));
}

function nameOf(path: string, names: ReadonlyMap<string, string>): string {
  const name = names.get(basename(path));
  if (name === undefined) throw new Fault("assert.broken", `esbuild made ${basename(path)}, which no program loads`);
  return name;
}
