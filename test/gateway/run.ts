// `npm run test:gateway`: whole gateways in an emulator, two test files at a time, and what each is doing. Builds the bundles and the gateways' disk first.
// `npm run test:gateway -- path/to/file.gateway.ts ...` runs only those.
import { globSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { asFault, Fault } from "../../hal/fault.ts";
import { buildAll } from "../../build/bundle.ts";
import { castingMould } from "../lab/gateway/index.ts";
import { keptTranscripts } from "../lab/gateway/keep.ts";
import { lacking } from "../lab/needs.ts";
import { runFiles } from "../lab/runner.ts";
import { PROJECT } from "../lab/sources.ts";

const USAGE = `usage: npm run test:gateway [-- [--jobs N] FILE ... | --prepare]
  FILE       test/gateway/*.gateway.ts to run; all when left out
  --jobs N   files at the same time, 1 to 8; 2 when left out. Each is a machine of 512 MiB that keeps a processor busy
  --prepare  only makes what the gateways are made of: Debian base, releases, disk. Kept for later runs
Boots whole gateways by software emulation; no KVM. Needs root and, once, some hundred MB of Debian packages: as root it installs them, else the tests are
skipped, with the reason. Exit code 0 when nothing failed.`;

/** Of one file, on a slow machine. */
const FILE_S_MAX = 1800;
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
    const all = globSync("test/gateway/*.gateway.ts", { cwd: PROJECT }).sort(); // as tap does: what takes longest is among the first
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
  const folder = await mkdtemp(join(tmpdir(), "sallyport-transcripts-"));
  const failed = await runFiles({
    paths,
    prepare,
    jobs,
    fileTimeoutS: FILE_S_MAX,
    inSteps: true,
    failureLines: 60,
    env: { SALLYPORT_TRANSCRIPTS: folder },
    explain: (path) => keptTranscripts(folder, path),
  });
  if (failed === 0) await rm(folder, { recursive: true });
  return failed === 0 ? 0 : 1;
}

async function prepare(): Promise<void> {
  const missing = lacking("image");
  console.log("building the bundles");
  if (missing === undefined) await castingMould(console.log);
  else await buildAll();
}

try {
  const wanted = read(process.argv.slice(2));
  if (wanted.help) console.log(USAGE);
  else if (wanted.prepareOnly) await prepare();
  else process.exitCode = await run(wanted);
} catch (error) {
  const fault = asFault(error, "assert.broken", "run the tests of whole gateways");
  const misused = fault.code === "usage.invalid";
  console.error(`${fault.code}: ${fault.message}${misused ? `\n${USAGE}` : ""}`);
  if (!misused) console.log("0 passed, 1 failed, 0 skipped");
  process.exitCode = misused ? 2 : 1;
}
