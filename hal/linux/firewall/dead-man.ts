// The dead man's switch of the packet filter: a shell that waits and then loads a table. It needs
// neither our event loop nor Node, and it outlives this process. [LCK-15]
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { asFault, Fault } from "../../fault.ts";
import type { DeadManSwitch } from "../../ports.ts";
import { ownFiles } from "../files/index.ts";
import { CHILD_PATH } from "../process/index.ts";
import { replacementOf } from "./replacement.ts";

export interface DeadManSwitchOptions {
  /** The switch's own directory, made with mode 0700. The state lock gives it one owner. */
  readonly directory: string;
  /** Gets the fault of something else in the directory's place, which is set aside. [STA-13] */
  readonly onDamage?: (fault: Fault) => void;
  /** The command before nft's arguments, as for the firewall. */
  readonly command?: readonly [string, ...string[]];
}

/**
 * Arguments: seconds, the file while it is armed, the file once it has fired, the command. The
 * rename decides: disarmed is whose file is gone before it. The table was in force before, so a
 * failure of nft is one of the moment and is tried again, until the warden takes the file away.
 */
const SCRIPT =
  'sleep "$1"; mv -- "$2" "$3" 2> /dev/null || exit 0; f=$3; shift 3; while [ -e "$f" ]; do "$@" -f "$f" && exit 0; sleep 5; done';

const ARMED = /^armed-[0-9a-f]{16}\.nft$/u;
const FIRED = /^fired-[0-9a-f]{16}\.nft$/u;

/**
 * Touches nothing before it is armed. Without its directory nothing is tried, and all else goes on.
 */
export function linuxDeadManSwitch(options: DeadManSwitchOptions): DeadManSwitch {
  return new ShellSwitch(options);
}

class ShellSwitch implements DeadManSwitch {
  readonly #directory: string;
  readonly #command: readonly [string, ...string[]];
  readonly #onDamage: (fault: Fault) => void;
  #waiting: ChildProcess | undefined;

  constructor({ directory, onDamage = () => undefined, command = ["nft"] }: DeadManSwitchOptions) {
    this.#directory = directory;
    this.#onDamage = onDamage;
    this.#command = command;
  }

  async arm(table: string, afterMs: number): Promise<void> {
    const files = await ownFiles(this.#directory, { report: this.#onDamage });
    const before = await this.#names();
    const id = randomBytes(8).toString("hex");
    await files.put(`armed-${id}.nft`, Buffer.from(replacementOf(table)));
    const earlier = this.#waiting;
    this.#waiting = await this.#start(id, Math.ceil(afterMs / 1000));
    // only now, so that there is no moment without a switch
    for (const name of before) if (ARMED.test(name)) await this.#remove(name);
    kill(earlier);
  }

  async disarm(): Promise<boolean> {
    let hasFired = false;
    for (const name of await this.#names()) {
      const removed = await this.#remove(name);
      if (FIRED.test(name) || (ARMED.test(name) && !removed)) hasFired = true;
    }
    kill(this.#waiting);
    this.#waiting = undefined;
    // one that fired between the two steps has left its file under the other name
    for (const name of await this.#names()) if (FIRED.test(name)) await this.#remove(name);
    return hasFired;
  }

  #start(id: string, seconds: number): Promise<ChildProcess> {
    const path = (state: string): string => join(this.#directory, `${state}-${id}.nft`);
    const args = ["-c", SCRIPT, "sallyport-dead-man", String(seconds), path("armed"), path("fired"), ...this.#command];
    return new Promise((resolve, reject) => {
      // a session of its own, setsid(2), so that it does not end with us
      const child = spawn("/bin/sh", args, {
        cwd: "/",
        env: { PATH: CHILD_PATH, LC_ALL: "C" },
        detached: true,
        stdio: "ignore",
      });
      child.once("error", (cause) =>
        reject(new Fault("process.failed", `arm the dead man's switch: ${cause.message}`, { cause })),
      );
      child.once("spawn", () => {
        child.unref();
        resolve(child);
      });
    });
  }

  async #names(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#directory)).filter((name) => ARMED.test(name) || FIRED.test(name));
    } catch (error) {
      if (isMissing(error)) return [];
      throw asFault(error, "file.read-failed", `list "${this.#directory}"`);
    }
  }

  /** @returns false when the file is not there any more. */
  async #remove(name: string): Promise<boolean> {
    try {
      await unlink(join(this.#directory, name));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw asFault(error, "file.write-failed", `remove "${join(this.#directory, name)}"`);
    }
  }
}

/** kill(2) with a negative pid reaches the whole group: the shell, and what it waits for. */
function kill(child: ChildProcess | undefined): void {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** Where something else lies in the directory's place, there is no file of ours either. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
