// The dead man's switch of a policy trial: a shell that waits, then loads a table and shuts USB
// devices out. It needs neither our event loop nor Node, and it outlives this process. [LCK-15]
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { asFault, Fault } from "../../fault.ts";
import type { DeadManSwitch, WayBack } from "../../ports.ts";
import { errnoOf, type FileOps, linuxOps, ownFiles } from "../files/index.ts";
import { CHILD_PATH } from "../process/index.ts";
import { SWITCH_NAMES_MAX } from "./limits.ts";
import { fileOf } from "./way-back.ts";

export interface DeadManSwitchOptions {
  /** The switch's own directory, made with mode 0700. The state lock gives it one owner. */
  readonly directory: string;
  /** Gets the fault of something else in the directory's place, which is set aside. [STA-13] */
  readonly onDamage?: (fault: Fault) => void;
  /** The command before nft's arguments, as for the firewall. */
  readonly command?: readonly [string, ...string[]];
  /** `/`, or a folder that looks like the kernel's view of USB. */
  readonly root?: string;
  readonly ops?: FileOps;
}

/**
 * The part of the script that shuts USB out; build/units has it word for word, for the moment at
 * which systemd sees the warden end. Each entry is written to by a process of its own, because the
 * kernel may be busy with a device for minutes. A device is shut out only as long as it has the
 * number that was listed: another one at its port was let in by nobody, or by the policy before.
 * The function fails when the file lists nothing.
 */
export const SHUT_USB = `shut_usb() { # FILE DEVICES
  writers=
  while read -r mark what name number; do
    [ "$mark" = "#" ] || continue
    case $what in
      device)
        { read -r found < "$2/$name/devnum" && [ "$found" = "$number" ] && read -r open < "$2/$name/authorized" &&
          [ "$open" != 0 ] && printf 0 > "$2/$name/authorized"; } 2> /dev/null &
        ;;
      port)
        { for disable in "$2/$name"/*/"$number"/disable; do
          [ -e "$disable" ] && read -r off < "$disable" && [ "$off" != 1 ] && printf 1 > "$disable"
        done; } 2> /dev/null &
        ;;
      *) continue ;;
    esac
    writers="$writers $!"
  done < "$1"
  [ -z "$writers" ] || wait $writers
  [ -n "$writers" ]
}`;

/**
 * Arguments: seconds, the file while it is armed, the file once it has fired, the folder of USB
 * devices, the command. The rename decides: disarmed is whose file is gone before it. On a disk
 * that became read-only nobody can rename or remove, and it fires. The table was in force before,
 * so a failure of nft is one of the moment and is tried again. USB devices are shut out again and
 * again, because a kernel that was busy may have let one in meanwhile. Both until the warden takes
 * the file away.
 */
const SCRIPT = `sleep "$1"
f=$3
mv -- "$2" "$3" 2> /dev/null || { [ -e "$2" ] || exit 0; f=$2; }
devices=$4
shift 4
while [ -e "$f" ]; do "$@" -f "$f" && break; sleep 5; done &
${SHUT_USB}
while [ -e "$f" ] && shut_usb "$f" "$devices"; do sleep 5; done
wait`;

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
  readonly #usbDevices: string;
  readonly #ops: FileOps;
  #waiting: ChildProcess | undefined;

  constructor(options: DeadManSwitchOptions) {
    const { directory, onDamage = () => undefined, command = ["nft"], root = "/", ops = linuxOps } = options;
    this.#directory = directory;
    this.#onDamage = onDamage;
    this.#command = command;
    this.#usbDevices = join(root, "sys/bus/usb/devices");
    this.#ops = ops;
  }

  async arm(way: WayBack, afterMs: number): Promise<void> {
    const files = await ownFiles(this.#directory, { report: this.#onDamage, ops: this.#ops });
    const before = await this.#names();
    if (before.some((name) => FIRED.test(name))) throw hasFired();
    const id = randomBytes(8).toString("hex");
    await files.put(`armed-${id}.nft`, Buffer.from(fileOf(way)));
    const earlier = this.#waiting;
    this.#waiting = await this.#start(id, Math.ceil(afterMs / 1000));
    // only now, so that there is no moment without a switch
    let isLate = false;
    for (const name of before) if (!(await this.#remove(name))) isLate = true;
    if (!isLate) return kill(earlier);
    // the earlier one is at its work, and is left to it
    kill(this.#waiting);
    this.#waiting = earlier;
    await this.#remove(`armed-${id}.nft`);
    throw hasFired();
  }

  async disarm(): Promise<boolean> {
    let isFired = false;
    try {
      for (const name of await this.#names()) {
        const removed = await this.#remove(name);
        if (FIRED.test(name) || !removed) isFired = true;
      }
    } finally {
      // on a disk that cannot be written too: the trial has ended
      kill(this.#waiting);
      this.#waiting = undefined;
    }
    // one that fired between the two steps has left its file under the other name
    for (const name of await this.#names()) if (FIRED.test(name)) await this.#remove(name);
    return isFired;
  }

  #start(id: string, seconds: number): Promise<ChildProcess> {
    const path = (state: string): string => join(this.#directory, `${state}-${id}.nft`);
    const places = [path("armed"), path("fired"), this.#usbDevices];
    const args = ["-c", SCRIPT, "sallyport-dead-man", String(seconds), ...places, ...this.#command];
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

  /** Armed ones and those that have fired. */
  async #names(): Promise<readonly string[]> {
    try {
      const names = await this.#ops.names(this.#directory, SWITCH_NAMES_MAX);
      return names.filter((name) => ARMED.test(name) || FIRED.test(name));
    } catch (error) {
      // where something else lies in the directory's place, there is no file of ours either
      if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return [];
      throw asFault(error, "file.read-failed", `list "${this.#directory}"`);
    }
  }

  /** @returns false when the file is not there any more. */
  async #remove(name: string): Promise<boolean> {
    const path = join(this.#directory, name);
    try {
      await this.#ops.unlink(path);
      return true;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      throw asFault(error, "file.write-failed", `remove "${path}"`);
    }
  }
}

function hasFired(): Fault {
  return new Fault("lockdown.not-in-force", "arm the dead man's switch: it has fired, and what was in force before is again");
}

/** kill(2) with a negative pid reaches the whole group: the shell, and what it waits for. */
function kill(child: ChildProcess | undefined): void {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}
