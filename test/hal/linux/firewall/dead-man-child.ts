// A program that arms a dead man's switch, arms it anew and disarms it, and that is killed before
// its nth step: on the disk, or a shell that is started. Arguments: directory, n, the words of nft.
import childProcess from "node:child_process";
import { writeSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { linuxDeadManSwitch } from "../../../../hal/linux/firewall/index.ts";
import { linuxOps } from "../../../../hal/linux/files/index.ts";
import { HOUR_MS, wayBack } from "../../../lab/worlds/dead-man.ts";

const [directory = "", killAt = "", program = "", ...args] = process.argv.slice(2);
const steps = { done: 0 };

function step(): void {
  steps.done += 1;
  if (steps.done === Number(killAt)) process.kill(process.pid, "SIGKILL");
}

/** Written at once: what was said before the kill has been said. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

const { spawn } = childProcess;
Object.assign(childProcess, {
  spawn: (...words: readonly unknown[]): unknown => (step(), Reflect.apply(spawn, childProcess, words)),
});
syncBuiltinESMExports();

const deadManSwitch = linuxDeadManSwitch({
  directory,
  command: [program, ...args],
  ops: {
    open: (...words) => (step(), linuxOps.open(...words)),
    rename: (...words) => (step(), linuxOps.rename(...words)),
    unlink: (...words) => (step(), linuxOps.unlink(...words)),
    mkdir: (...words) => (step(), linuxOps.mkdir(...words)),
    names: (...words) => (step(), linuxOps.names(...words)),
    freeBytes: (...words) => (step(), linuxOps.freeBytes(...words)),
  },
});
await deadManSwitch.arm(wayBack(), HOUR_MS);
say("armed");
await deadManSwitch.arm(wayBack(), HOUR_MS);
say("armed anew");
step();
say("disarming");
await deadManSwitch.disarm();
say("disarmed");
