// `npm test`: runs the test files with a line of progress for each and every skip with its reason.
// The system tests run the bundles, so these are built first when a chosen file needs them.
import { buildAll } from "../build/bundle.ts";
import { asFault } from "../hal/fault.ts";
import { needBundles } from "./lab/runner/bundles.ts";
import { FRESH_BUNDLES } from "./lab/runner/programs.ts";
import { runFiles } from "./lab/runner/runner.ts";
import { type Selection, selectTests, USAGE } from "./lab/runner/selection.ts";

/** Most tests wait for processes and clocks, so more files run at a time than there are cores. */
const JOBS = 7;
/** Only a run that hangs takes longer. */
const RUN_TIMEOUT_S = 14_400;

async function run({ paths, title }: Selection): Promise<number> {
  const withBundles = needBundles(paths);
  const build = async (): Promise<void> => {
    console.log("building the bundles");
    await buildAll();
  };
  return await runFiles({
    paths,
    title,
    prepare: withBundles ? build : undefined,
    env: withBundles ? FRESH_BUNDLES : {},
    jobs: JOBS,
    failureLines: 40,
    runTimeoutS: RUN_TIMEOUT_S,
  });
}

try {
  const selection = selectTests(process.argv.slice(2));
  if (selection.help) console.log(USAGE);
  else process.exitCode = (await run(selection)) === 0 ? 0 : 1;
} catch (error) {
  const fault = asFault(error, "assert.broken", "run the tests");
  if (fault.code !== "usage.invalid") throw fault;
  console.error(`${fault.message}\n${USAGE}`);
  process.exitCode = 2;
}
