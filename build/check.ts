// `npm run check`: the checks beside the tests: types, lint, format, dead code and bundle budget.
// It prints one line per check, and exits with 1 when one fails.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const PROJECT = fileURLToPath(new URL("../", import.meta.url));

const CHECKS: readonly { readonly name: string; readonly command: readonly [string, ...string[]] }[] = [
  { name: "types", command: ["tsc", "-b"] },
  { name: "lint", command: ["oxlint"] },
  { name: "format", command: ["oxfmt", "--check", "."] },
  { name: "dead code", command: ["knip"] },
  { name: "bundle budget", command: ["node", "build/bundle.ts"] },
];

const failed = CHECKS.filter(({ name, command: [program, ...args] }) => {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: PROJECT,
    encoding: "utf8",
    env: { ...process.env, PATH: `${PROJECT}node_modules/.bin:${process.env["PATH"]}` },
  });
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${name} (${Math.round(performance.now() - started)} ms)`);
  if (status !== 0) console.log(`${stdout}${stderr}`);
  return status !== 0;
});
console.log(`${CHECKS.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
