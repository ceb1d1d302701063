// The TPM for one piece of work. Two programs use it and a simulator has no resource manager, so
// nobody keeps it open.
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "../../fault.ts";
import { Tpm, type TpmOptions } from "./tpm.ts";
import { connectSimulator, openTpmDevice, type SimulatorAddress } from "./transport.ts";

/** How often a piece of work begins, when slots are full or the TPM stays busy: within 2 s. */
const ATTEMPTS = 6;
const PAUSE_MS = 50;

/** The port of tss2's tcti-swtpm where none is named. */
const SIMULATOR_PORT = 2321;

type TpmWay = { readonly device: string } | { readonly simulator: SimulatorAddress };

/**
 * Pure. Reads the way to a TPM in tss2's notation (tpm2-tss, Tss2_TctiLdr_Initialize(3)):
 * `device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321` or `swtpm:path=/run/tpm.sock`.
 * @throws Fault `tpm.invalid` for another way. `mssim` is among them: that simulator wraps each
 *   command into a protocol of its own.
 */
export function wayOf(tcti: string): TpmWay {
  const [kind, rest] = parted(tcti, ":");
  if (kind === "device" && rest.startsWith("/")) return { device: rest };
  const settings = new Map(rest.split(",").flatMap((item) => (item === "" ? [] : [parted(item, "=")])));
  const [host, port, path] = ["host", "port", "path"].map((name) => settings.get(name));
  const number = Number(port ?? SIMULATOR_PORT);
  const isKnown = [...settings.keys()].every((name) => ["host", "port", "path"].includes(name));
  if (kind === "swtpm" && isKnown) {
    if (path !== undefined && settings.size === 1 && path.startsWith("/")) return { simulator: { path } };
    if (path === undefined && Number.isInteger(number) && number > 0 && number < 65_536)
      return { simulator: { port: number, ...(host !== undefined && host !== "" && { host }) } };
  }
  throw new Fault(
    "tpm.invalid",
    `use the TPM at "${tcti}": this way is not known; write device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321`,
  );
}

function parted(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * Opens the TPM that `tcti` names. Close it with `await using` after one piece of work.
 * @throws Fault `tpm.invalid` as {@link wayOf}; `tpm.unreachable`.
 */
export async function openTpmAt(tcti: string, options: TpmOptions = {}): Promise<Tpm> {
  const way = wayOf(tcti);
  return new Tpm(
    "device" in way ? await openTpmDevice(way.device, options.onHang) : await connectSimulator(way.simulator),
    options,
  );
}

/**
 * Opens the TPM, does one piece of work and closes it. Where other programs fill the slots or keep
 * the TPM busy, the work begins again after a pause, six times in all.
 * @throws what `work` throws the last time, and what {@link openTpmAt} throws.
 */
export async function useTpm<T>(tcti: string, work: (tpm: Tpm) => Promise<T>, options: TpmOptions = {}): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await using tpm = await openTpmAt(tcti, options);
      return await work(tpm);
    } catch (error) {
      if (attempt === ATTEMPTS || !isPassing(error)) throw error;
    }
    await sleep(PAUSE_MS * 2 ** (attempt - 1));
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof Fault && (error.code === "tpm.slots-full" || error.code === "tpm.busy");
}
