// Other programs: Debian's tools that build file systems and images.
import { spawn } from "node:child_process";
import { Fault } from "../../hal/fault.ts";

/** Only the end of what a failing program said is shown. */
const SAID_CHARACTERS_MAX = 2000;

export interface ToolOptions {
  readonly cwd?: string;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** @returns what it wrote to its standard output. @throws Fault `process.failed` unless it exits 0. */
export function run(
  program: string,
  args: readonly string[],
  { cwd, input, env }: ToolOptions = {},
  encoding: "utf8" | "latin1" = "utf8",
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, LC_ALL: "C.UTF-8", PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const out: Buffer[] = [];
    const said: Buffer[] = [];
    child.stdout.on("data", (bytes: Buffer) => out.push(bytes));
    child.stderr.on("data", (bytes: Buffer) => said.push(bytes));
    child.stdin.on("error", () => undefined); // it ended without reading: its exit code says whether that was right
    child.stdin.end(input ?? "");
    child.once("error", (cause) => {
      const hint = "is its package installed? docs/flashing.md lists them";
      reject(new Fault("process.failed", `start "${program}": ${cause.message}; ${hint}`, { cause }));
    });
    child.once("close", (code, signal) => {
      const stdout = Buffer.concat(out).toString(encoding);
      if (code === 0) return resolve(stdout);
      const words = `${stdout}${Buffer.concat(said).toString("utf8")}`.trim().slice(-SAID_CHARACTERS_MAX);
      reject(
        new Fault("process.failed", `run "${program} ${args.join(" ")}": ended by ${signal ?? `exit code ${code}`}: ${words}`),
      );
    });
  });
}
