// `npm run build`: bundles the programs under dist/, as they are shipped, with a list of sizes.
// Demo and system tests run the bundles, so that they test what is shipped. The hub and the release
// tool are one file each. The device's programs share what two of them need (decision 0031):
//   dist/sallyport-agent/main.js    what only the agent needs
//   dist/shared/agent-warden.js     what agent and warden need, and nobody else
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build, type BuildOptions, type Plugin } from "esbuild";
import { Fault } from "../hal/fault.ts";
import { directImports } from "./direct-imports.ts";
import { hasCode } from "./errno.ts";
import { buildShared, type FileSizes, SHARED, type Sharer } from "./shared.ts";

const PROJECT = fileURLToPath(new URL("../", import.meta.url));
const DIST = `${PROJECT}dist`;

interface Program {
  readonly name: string;
  readonly entry: string;
  /** It needs the serial add-on beside it. */
  readonly serial: boolean;
  /**
   * Its short name in the names of shared files, when it is on the device. Then it counts against
   * the budget of all JavaScript there (design, section 8).
   */
  readonly onDevice: string | undefined;
  /** Programs of its threads, in files beside its own: name and main file. */
  readonly threads?: Readonly<Record<string, string>>;
}

export const PROGRAMS: readonly Program[] = [
  { name: "sallyport-agent", entry: "agent/main.ts", serial: true, onDevice: "agent" },
  { name: "sallyport-warden", entry: "warden/main.ts", serial: false, onDevice: "warden" },
  { name: "sallyport-install", entry: "warden/install/main.ts", serial: false, onDevice: "install" },
  { name: "sallyport", entry: "agent/cli/main.ts", serial: false, onDevice: "cli" },
  {
    name: "sallyport-hub",
    entry: "hub/main.ts",
    serial: false,
    onDevice: undefined,
    threads: { "store-thread": "hub/store/thread.ts" },
  },
  { name: "sallyport-release", entry: "build/release/main.ts", serial: false, onDevice: undefined },
];

const SHARERS: readonly Sharer[] = PROGRAMS.flatMap(({ name, onDevice, entry }) =>
  onDevice === undefined ? [] : [{ name, short: onDevice, entry }],
);

/** What of dist/ belongs on the device, beside each other: the programs need the shared files. */
export const DEVICE_FOLDERS: readonly string[] = [SHARED, ...SHARERS.map(({ name }) => name)];

/** The budget of all JavaScript on the device. */
export const DEVICE_BYTES_MAX = 1_048_576;

export interface BundleSizes {
  /** JavaScript on the device and on other machines: bytes by file, relative to dist/. */
  readonly device: FileSizes;
  readonly elsewhere: FileSizes;
  readonly deviceBytes: number;
  /** Native add-ons, which are outside the budget. */
  readonly addonBytes: number;
}

/**
 * Replaces what mqtt.js brings for browsers and old versions of Node by Node's own modules or by
 * stubs: less code to load saves memory.
 */
const lean: Plugin = {
  name: "lean",
  setup(context) {
    const stub = (filter: RegExp, contents: string, importer = /(?:)/): void => {
      const namespace = `stub-${filter.source}`;
      context.onResolve({ filter }, (from) => (importer.test(from.importer) ? { path: from.path, namespace } : undefined));
      context.onLoad({ filter: /.*/, namespace }, () => ({ contents, loader: "js" }));
    };
    context.onResolve({ filter: /^readable-stream$/ }, () => ({ path: "node:stream", external: true }));
    stub(
      /^debug$/,
      "const off = () => {}; off.enabled = false; const debug = () => off; debug.enable = off; debug.disable = off; module.exports = debug;",
    );
    // mqtt.js keeps the topic aliases of a broker in it. We use no aliases; a Map holds as many.
    stub(/^lru-cache$/, "module.exports = { LRUCache: class extends Map { constructor() { super(); } } };");
    stub(/^worker-timers$/, "module.exports = { setInterval, clearInterval, setTimeout, clearTimeout };");
    // mqtt.js reads its version to log it, and node-forge names of identifiers to print them.
    stub(/^\.\.\/\.\.\/package\.json$/, "module.exports = {};", /\/node_modules\/mqtt\//);
    stub(/^\.\/oids$/, "", /\/node_modules\/node-forge\//);
    // The path is computed: otherwise esbuild would look for the file at build time.
    stub(
      /^node-gyp-build$/,
      'const path = __dirname + "/serialport." + process.arch + ".node"; module.exports = () => require(path);',
    );
  },
};

/** How each bundle is made. */
const OPTIONS = {
  bundle: true,
  platform: "node",
  target: "node26",
  format: "esm",
  minify: true,
  keepNames: false,
  legalComments: "none",
  treeShaking: true,
  absWorkingDir: PROJECT,
  plugins: [lean, directImports(PROJECT)],
  // The names that CommonJS code expects, inside an ES module.
  banner: {
    js: 'import{createRequire as __cr}from"node:module";import{fileURLToPath as __fp}from"node:url";import{dirname as __dn}from"node:path";const require=__cr(import.meta.url),__filename=__fp(import.meta.url),__dirname=__dn(__filename);',
  },
  logLevel: "warning",
} satisfies BuildOptions;

/** Bundles one program into one file. @param entry its main file, relative to the project. */
export async function bundleFile(entry: string, outfile: string): Promise<void> {
  await build({ ...OPTIONS, entryPoints: [`${PROJECT}${entry}`], outfile });
}

/**
 * Bundles the device's programs, which share code.
 * @returns the sizes of the files, by path relative to `directory`.
 */
export async function bundleDevice(directory: string): Promise<FileSizes> {
  const sizes = await buildShared(SHARERS, directory, OPTIONS);
  for (const folder of DEVICE_FOLDERS) await writeFile(`${directory}/${folder}/package.json`, ES_MODULES);
  return sizes;
}

const ES_MODULES = '{"type":"module","private":true}\n';

/** Bundles a program of other machines, with its threads. */
async function bundleAlone({ name, entry, threads = {} }: Program, under: string): Promise<FileSizes> {
  const directory = `${under}/${name}`;
  await mkdir(directory, { recursive: true });
  await writeFile(`${directory}/package.json`, ES_MODULES);
  const sizes: Record<string, number> = {};
  for (const [file, from] of Object.entries({ main: entry, ...threads })) {
    await bundleFile(from, `${directory}/${file}.js`);
    sizes[`${name}/${file}.js`] = (await stat(`${directory}/${file}.js`)).size;
  }
  return sizes;
}

/** The package's prebuilt add-ons. The bundle has both and loads the one for its processor. */
const SERIAL_ADDONS = {
  x64: "linux-x64/@serialport+bindings-cpp.glibc.node",
  arm64: "linux-arm64/@serialport+bindings-cpp.armv8.glibc.node",
} as const;

async function copySerialAddon(directory: string): Promise<void> {
  for (const [arch, file] of Object.entries(SERIAL_ADDONS))
    await copyFile(`${PROJECT}node_modules/@serialport/bindings-cpp/prebuilds/${file}`, `${directory}/serialport.${arch}.node`);
}

/**
 * Builds all programs without checking their size. They are built beside `directory`, which is then
 * replaced as a whole, so that nobody runs a half-built program.
 */
export async function buildPrograms(directory = DIST): Promise<BundleSizes> {
  const made = await mkdtemp(`${directory}-`);
  try {
    const sizes = await buildUnder(made);
    const old = `${made}-old`;
    await rename(directory, old).catch(ignoreMissing);
    await rename(made, directory);
    await rm(old, { recursive: true, force: true });
    return sizes;
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

function ignoreMissing(error: unknown): void {
  if (!hasCode(error, "ENOENT")) throw error;
}

async function buildUnder(directory: string): Promise<BundleSizes> {
  await chmod(directory, 0o755);
  const device = await bundleDevice(directory);
  let elsewhere: FileSizes = {};
  for (const program of PROGRAMS) {
    if (program.onDevice === undefined) elsewhere = { ...elsewhere, ...(await bundleAlone(program, directory)) };
    if (program.serial) await copySerialAddon(`${directory}/${program.name}`);
  }
  const deviceBytes = Object.values(device).reduce((sum, bytes) => sum + bytes, 0);
  const addonBytes = (await stat(`${directory}/sallyport-agent/serialport.${process.arch === "arm64" ? "arm64" : "x64"}.node`))
    .size;
  const sizes = { device, elsewhere, deviceBytes, addonBytes };
  await writeFile(`${directory}/sizes.json`, `${JSON.stringify(sizes, undefined, 2)}\n`);
  return sizes;
}

/**
 * Builds all programs.
 * @throws Fault `assert.broken` when the device's JavaScript is over its budget.
 */
export async function buildAll(directory = DIST): Promise<BundleSizes> {
  const sizes = await buildPrograms(directory);
  const { deviceBytes } = sizes;
  if (deviceBytes > DEVICE_BYTES_MAX)
    throw new Fault(
      "assert.broken",
      `the device's JavaScript has ${deviceBytes} bytes, more than its budget of ${DEVICE_BYTES_MAX}`,
    );
  return sizes;
}

if (import.meta.main) {
  const started = performance.now();
  const sizes = await buildAll();
  for (const [name, bytes] of Object.entries({ ...sizes.device, ...sizes.elsewhere }))
    console.log(`${name.padEnd(36)} ${String(Math.round(bytes / 1024)).padStart(5)} KiB`);
  console.log(
    `${"on the device".padEnd(36)} ${String(Math.round(sizes.deviceBytes / 1024)).padStart(5)} KiB of 1024, and ${Math.round(sizes.addonBytes / 1024)} KiB of native add-on`,
  );
  console.log(`dist/ is ready after ${Math.round(performance.now() - started)} ms`);
}
