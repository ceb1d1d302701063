// The real hub on damaged state: it serves, or gives a fault and an exit code.
import { cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { MUTATIONS, WRONG_DIRECTORIES } from "../lab/fakes/damage.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { type RunningProgram, startProgram } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const STACK = /^\s+at |node:internal|TypeError|ERR_/mu;

/**
 * Each mutation starts a hub. The database always gets all seven, the others only in a long run.
 */
const mutationsOf = (name: string): number => (isLongRun() || name === "hub.db" ? Object.keys(MUTATIONS).length : 3);

test("[STA-4] [STA-13] the hub serves with a mutated state file, or ends with a fault and an exit code, never with a stack", async (t) => {
  const root = await temporaryDirectory(t);
  const healthy = join(root, "hub");
  const program = (state: string, ...args: readonly string[]): RunningProgram =>
    startProgram({
      name: args.join(" "),
      command: process.execPath,
      args: [programFile("sallyport-hub"), ...args, "--state", state],
    });
  const run = async (state: string, ...args: readonly string[]) => {
    const running = program(state, ...args);
    const { code } = await running.ended;
    return { code, text: running.lines.join("\n") };
  };
  /** Stopped once it is ready; a hub that cannot serve ends by itself. */
  const serve = async (state: string) => {
    const running = program(state, "serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json");
    await Promise.race([running.line(/"ready"/u), running.ended]).catch(() => undefined);
    const { code } = await running.stop();
    return { code, text: running.lines.join("\n") };
  };
  t.equal((await run(healthy, "init", "--name", "Plant 7", "--host", "localhost")).code, 0);
  t.equal((await serve(healthy)).code, 0);
  const files = readdirSync(healthy, { withFileTypes: true }).filter((entry) => entry.isFile());
  const all = Object.entries(MUTATIONS);
  for (const [index, { name }] of files.entries())
    for (let n = 0; n < mutationsOf(name); n++) {
      const [what = "", mutate = async (): Promise<void> => undefined] = all[(index * 3 + n) % all.length] ?? [];
      const state = join(root, `${name}-${what.replaceAll(/\W/gu, "-")}`);
      cpSync(healthy, state, { recursive: true });
      await mutate(join(state, name));
      const { code, text } = await serve(state);
      t.ok(code === 0 || code === 1 || code === 78, `${name}, ${what}: code ${code}`);
      t.notMatch(text, STACK, `${name}, ${what}`);
      if (code !== 0) t.match(text, /[a-z]+\.[a-z-]+: /u, `${name}, ${what}: a fault with its code`);
      if (name === "hub.db") {
        const listed = await run(state, "devices", "list");
        t.ok(listed.code === 0 || listed.code === 1, `${name}, ${what}: devices list ends with ${listed.code}`);
        t.notMatch(listed.text, STACK, `${name}, ${what}: devices list`);
      }
      rmSync(state, { recursive: true, force: true });
    }
  for (const [what, put] of Object.entries(WRONG_DIRECTORIES)) {
    const state = join(root, "repository");
    cpSync(healthy, state, { recursive: true });
    mkdirSync(join(state, "repository"));
    await put(join(state, "repository"));
    const { code, text } = await serve(state);
    t.equal(code, 0, `repository, ${what}: ${text}`);
    t.notMatch(text, STACK, `repository, ${what}`);
    await chmod(join(state, "repository"), 0o700).catch(() => undefined);
    rmSync(state, { recursive: true, force: true });
  }
});
