// Running Debian's tools that build file systems and images.
import { spawn } from "node:child_process";
import { Fault } from "../../hal/fault.ts";

/** Only the end of a failed program's output is shown. */
const OUTPUT_CHARACTERS_MAX = 2000;

export interface ToolOptions {
  readonly cwd?: string;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * @returns the program's standard output.
 * @throws Fault `process.failed` unless it exits with 0.
 */
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
    const errors: Buffer[] = [];
    child.stdout.on("data", (bytes: Buffer) => out.push(bytes));
    child.stderr.on("data", (bytes: Buffer) => errors.push(bytes));
    // The program may end without reading its input; its exit code says whether it succeeded.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input ?? "");
    child.once("error", (cause) => {
      const hint = "install its package; docs/flashing.md lists the packages";
      reject(new Fault("process.failed", `start "${program}": ${cause.message}; ${hint}`, { cause }));
    });
    child.once("close", (code, signal) => {
      const stdout = Buffer.concat(out).toString(encoding);
      if (code === 0) return resolve(stdout);
      const output = `${stdout}${Buffer.concat(errors).toString("utf8")}`.trim().slice(-OUTPUT_CHARACTERS_MAX);
      reject(
        new Fault("process.failed", `run "${program} ${args.join(" ")}": ended by ${signal ?? `exit code ${code}`}: ${output}`),
      );
    });
  });
}
