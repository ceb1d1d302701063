// A null-modem cable: two pseudo-terminals that socat joins. What is written to one end comes out
// of the other.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { access, chmod, type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert } from "../../../hal/fault.ts";
import { eventually } from "../runner/process.ts";

export interface PtyPair {
  /** The end for the device under test. */
  readonly devicePath: string;
  /** The end for the technician. */
  readonly hostPath: string;
  /** Pulls the cable: both ends hang up. Calling it twice does no harm. */
  readonly stop: () => Promise<void>;
}

/**
 * Makes the cable and returns when both ends exist.
 * @param options.deviceUser the user, by number, who may open the device's end; the test's own when
 * left out.
 * @throws Fault `assert.broken` when socat ends; `process.timeout` when it does not come up.
 */
export async function startPtyPair(options: { readonly deviceUser?: number } = {}): Promise<PtyPair> {
  const directory = await mkdtemp(join(tmpdir(), "pty-"));
  await chmod(directory, 0o711);
  const [devicePath, hostPath] = [join(directory, "device"), join(directory, "host")];
  const end = (link: string): string => `pty,raw,echo=0,link=${link}`;
  const owner = options.deviceUser === undefined ? "" : `,user=${options.deviceUser},mode=600`;
  const socat = spawn("socat", [`${end(devicePath)}${owner}`, end(hostPath)], { stdio: "ignore" });
  const ended = once(socat, "exit");
  let held: FileHandle | undefined;
  const stop = async (): Promise<void> => {
    await held?.close();
    held = undefined;
    if (isRunning(socat)) socat.kill("SIGKILL");
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  await eventually("socat makes two pseudo-terminals", async () => {
    assert(isRunning(socat), "socat is running");
    return (await exists(devicePath)) && (await exists(hostPath)) ? true : undefined;
  });
  // A serial line exists whether it is open or not, but socat would end with its last user.
  held = await open(devicePath, constants.O_RDWR | constants.O_NOCTTY);
  return { devicePath, hostPath, stop };
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
