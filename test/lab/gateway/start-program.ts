// Programs that end with this process: a QEMU that outlives its test would hold a processor and its
// memory for good.
import { type RunningProgram, startProgram } from "../runner/process.ts";

export function startWithUs(program: string, args: readonly string[]): RunningProgram {
  return startProgram({ name: program, command: program, args, endsWithUs: true });
}
