// `npm run test:gateway`: whole gateways in an emulator, two test files at a time, with the
// progress of each. It builds the bundles and the gateways' disk first. `npm run test:gateway --
// path/to/file.gateway.ts ...` runs only those files.
import { globSync } from "node:fs";
import { parseArgs } from "node:util";
import { asFault, Fault } from "../../hal/fault.ts";
import { buildAll } from "../../build/bundle.ts";
import { ensureGoldenImage } from "../lab/gateway/golden-image.ts";
import { keptTranscripts } from "../lab/gateway/kept-transcripts.ts";
import { ownFolder } from "../lab/gateway/own-folder.ts";
import { lacking } from "../lab/runner/needs.ts";
import { runFiles } from "../lab/runner/runner.ts";
import { FRESH_BUNDLES } from "../lab/runner/programs.ts";
import { PROJECT } from "../lab/runner/sources.ts";

const USAGE = `usage: npm run test:gateway [-- [--jobs N] FILE ... | --prepare]
  FILE       a file of test/gateway/*.gateway.ts; all of them when left out
  --jobs N   files at the same time, 1 to 8; 2 when left out. Each is a machine of 512 MiB that
             keeps a processor busy
  --prepare  only builds what the gateways are made of (Debian base, releases, disk), for later runs
Boots whole gateways by software emulation, without KVM. It needs root and, the first time, some
hundred MB of Debian packages, which it installs; without root the tests are skipped with the reason.
Exit code 0 when nothing failed.`;

/** Of one file, on a slow machine. */
const FILE_S_MAX = 1800;
/**
 * How long the golden image must stay valid after it was prepared: no test file may have to rebuild
 * it beside two emulators, nor the run that follows `--prepare`.
 */
const RUN_MS_MAX = 3_600_000;

interface Wanted {
  readonly paths: readonly string[];
  readonly jobs: number;
  readonly prepareOnly: boolean;
  readonly help: boolean;
}

function read(argv: readonly string[]): Wanted {
  const options = {
    jobs: { type: "string", default: "2" },
    prepare: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    if (!/^[1-8]$/u.test(values.jobs)) throw new Fault("usage.invalid", `--jobs is "${values.jobs}", expected 1 to 8`);
    // In tap's order, which has the longest among the first.
    const all = globSync("test/gateway/*.gateway.ts", { cwd: PROJECT }).sort();
    return {
      paths: positionals.length > 0 ? positionals : all,
      jobs: Number(values.jobs),
      prepareOnly: values.prepare,
      help: values.help,
    };
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}

async function run({ paths, jobs }: Wanted): Promise<number> {
  await using undo = new AsyncDisposableStack();
  const { path: folder } = undo.use(await ownFolder("sallyport-transcripts"));
  const failed = await runFiles({
    paths,
    prepare: () => prepare(RUN_MS_MAX),
    jobs,
    fileTimeoutS: FILE_S_MAX,
    inSteps: true,
    failureLines: 60,
    runTimeoutS: paths.length * FILE_S_MAX,
    env: { ...FRESH_BUNDLES, SALLYPORT_TRANSCRIPTS: folder },
    explain: (path) => keptTranscripts(folder, path),
  });
  if (failed === 0) return 0;
  undo.move(); // The transcripts stay for the developer; the next run removes them.
  return 1;
}

async function prepare(spareMs: number): Promise<void> {
  const missing = lacking("image");
  console.log("building the bundles");
  if (missing === undefined) await ensureGoldenImage(console.log, spareMs);
  else await buildAll();
}

try {
  const wanted = read(process.argv.slice(2));
  if (wanted.help) console.log(USAGE);
  else if (wanted.prepareOnly) await prepare(2 * RUN_MS_MAX);
  else process.exitCode = await run(wanted);
} catch (error) {
  const fault = asFault(error, "assert.broken", "run the tests of whole gateways");
  const misused = fault.code === "usage.invalid";
  console.error(`${fault.code}: ${fault.message}${misused ? `\n${USAGE}` : ""}`);
  if (!misused) console.log("0 passed, 1 failed, 0 skipped");
  process.exitCode = misused ? 2 : 1;
}
