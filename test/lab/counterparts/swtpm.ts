// A throw-away TPM 2.0 for tests and for the demo's board: swtpm on the loopback interface.
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { assert, Fault } from "../../../hal/fault.ts";
import { runProgram } from "../../../hal/linux/process/index.ts";
import { openTpmAt, type Tpm } from "../../../hal/linux/tpm/index.ts";
import { HANG_MS } from "../runner/process.ts";

export interface Swtpm {
  /** For `TPM2OPENSSL_TCTI`, `TPM2TOOLS_TCTI` and the provider of createTpmKeyStore. */
  readonly tcti: string;
  readonly port: number;
  readonly processId: number;
  /** The chip's state. A TPM that starts on it again is the same TPM after a power cycle. */
  readonly directory: string;
  /**
   * Powers the TPM off. Removes the state unless the caller gave the directory. Calling it twice
   * does no harm.
   */
  readonly stop: () => Promise<void>;
  /** Cuts the power: the TPM ends at once, without TPM2_Shutdown. Its state stays. */
  readonly cut: () => Promise<void>;
}

const ATTEMPTS = 10;

interface SwtpmOptions {
  /** For its state; a new TPM in a temporary directory when left out. */
  readonly directory?: string;
  /** Of an earlier TPM that comes back; a free one when left out. */
  readonly port?: number;
  /** False for a TPM that still waits for TPM2_Startup. */
  readonly isStarted?: boolean;
  /** Words before the command, for instance `ip netns exec NAME`. */
  readonly prefix?: readonly [string, ...string[]];
}

/**
 * Starts a TPM and returns when it answers.
 * @throws Fault `process.failed` when swtpm does not start.
 */
export async function startSwtpm(options: SwtpmOptions = {}): Promise<Swtpm> {
  // An absolute path: with --daemon a relative one puts the TPM into failure mode.
  const directory = options.directory === undefined ? await mkdtemp(join(tmpdir(), "swtpm-")) : resolve(options.directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePortPair());
    try {
      const processId = await start(directory, port, options);
      let ended: Promise<void> | undefined;
      // Once only: afterwards the number may be another process's.
      const cut = (): Promise<void> => (ended ??= end(processId, "SIGKILL"));
      const stop = async (): Promise<void> => {
        await (ended ??= end(processId, "SIGTERM"));
        if (options.directory === undefined) await rm(directory, { recursive: true, force: true });
      };
      return { tcti: `swtpm:host=127.0.0.1,port=${port}`, port, processId, directory, stop, cut };
    } catch (error) {
      // Another process may have taken the port before swtpm bound it.
      if (attempt === ATTEMPTS || !(error instanceof Fault)) throw error;
    }
  }
}

/** Our own commands on it. It serves one connection at a time: close this one for the next. */
export async function openTpm({ port }: Pick<Swtpm, "port">): Promise<Tpm> {
  return await openTpmAt(`swtpm:port=${port}`);
}

async function start(directory: string, port: number, { prefix, isStarted = true }: SwtpmOptions): Promise<number> {
  const pidFile = join(directory, "pid");
  const args = ["socket", "--tpm2", "--tpmstate", `dir=${directory}`, "--server", `type=tcp,port=${port}`];
  args.push(
    "--ctrl",
    `type=tcp,port=${port + 1}`,
    "--flags",
    isStarted ? "not-need-init,startup-clear" : "not-need-init",
    "--daemon",
    "--pid",
    `file=${pidFile}`,
  );
  const [program, ...words] = prefix === undefined ? ["swtpm", ...args] : [...prefix, "swtpm", ...args];
  assert(program !== undefined, "a command has a first word");
  await runProgram(program, words, { timeoutMs: HANG_MS, outputBytesMax: 65_536 });
  const processId = Number((await readFile(pidFile, "utf8")).trim());
  assert(Number.isSafeInteger(processId) && processId > 1, "swtpm writes its process id");
  return processId;
}

/** The provider's transport expects the control channel at the data port + 1. */
export async function freePortPair(): Promise<number> {
  for (;;) {
    const first = await listen(0);
    const address = first.address();
    assert(address !== null && typeof address === "object", "a TCP server has a port");
    const second = address.port < 65_535 ? await listen(address.port + 1).catch(() => undefined) : undefined;
    for (const server of [first, second]) if (server !== undefined) await close(server);
    if (second !== undefined) return address.port;
  }
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** As a daemon it is no child of this process, so its end is found by asking. */
async function end(processId: number, first: NodeJS.Signals): Promise<void> {
  for (let signal: NodeJS.Signals | 0 = first; ; signal = 0) {
    try {
      process.kill(processId, signal);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ESRCH") return;
      throw error;
    }
    if (await isZombie(processId)) return; // In a container without an init nobody reaps it.
    await sleep(10);
  }
}

async function isZombie(processId: number): Promise<boolean> {
  const stat = await readFile(`/proc/${processId}/stat`, "utf8").catch(() => "");
  return /\) Z /u.test(stat);
}
