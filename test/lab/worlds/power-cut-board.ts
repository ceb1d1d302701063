// A board with a TPM whose power a test cuts: warden, agent and chip end in the same moment,
// without a word, and come back from what was on the disk and in the chip.
import { watch } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { FIRST_HANDLE, handlesFrom, lockoutState, ownership, type Tpm } from "../../../hal/linux/tpm/index.ts";
import type { Ownership } from "../../../hal/linux/tpm/chip.ts";
import { openTpm, startSwtpm, type Swtpm } from "../counterparts/swtpm.ts";
import { type TpmRelay, tpmRelay } from "../counterparts/tpm-relay.ts";
import type { TestContext } from "../runner/context.ts";
import type { RunningProgram } from "../runner/process.ts";
import { temporaryDirectory } from "../runner/temporary.ts";
import { buildRig, type Rig } from "./rig.ts";

/** When the power fails. */
export type Moment =
  /**
   * At the n-th command for the chip, of all or of those that change what outlives a power cut:
   * before it gets it, or after it carried it out.
   */
  | { readonly command: number; readonly of: "changing" | "all"; readonly when: "before" | "after" }
  /** As soon as a file begins to be written, which is before it is complete. */
  | { readonly writes: string; readonly in: "agentState" | "wardenState" | "birth" }
  | { readonly says: RegExp; readonly by: "agent" | "warden" };

/** What outlives a power cut, apart from the contents: the same after every first boot. */
export interface Remains {
  readonly persistent: readonly number[];
  readonly indices: readonly number[];
  readonly failures: number;
  readonly isLockedOut: boolean;
  readonly ownership: Ownership;
  /** Names below the directories of agent, warden and birth record. */
  readonly files: readonly string[];
}

interface Programs {
  readonly warden: RunningProgram;
  readonly agent: RunningProgram;
}

/** Chip and programs hang on one plug. */
class Power {
  /** Of the relay's target; swtpm comes back at the same one. */
  port = 0;
  #chip: Swtpm | undefined;
  #programs: Programs | undefined;
  #failed = Promise.withResolvers<void>();

  /** Resolves when the power failed. */
  get failure(): Promise<void> {
    return this.#failed.promise;
  }

  async chipOn(directory: string): Promise<void> {
    this.#chip = await startSwtpm(this.port === 0 ? { directory } : { directory, port: this.port });
    this.port = this.#chip.port;
    this.#failed = Promise.withResolvers();
  }

  programsOn(programs: Programs): void {
    this.#programs = programs;
  }

  async cut(): Promise<void> {
    const { warden, agent } = this.#programs ?? {};
    await Promise.all([this.#chip?.cut(), warden?.stop("SIGKILL"), agent?.stop("SIGKILL")]);
    this.#failed.resolve();
  }
}

export class PowerCutBoard {
  readonly rig: Rig;
  readonly #t: TestContext;
  readonly #power: Power;
  readonly #relay: TpmRelay;
  #directory = "";

  private constructor(t: TestContext, rig: Rig, power: Power, relay: TpmRelay) {
    this.#t = t;
    this.rig = rig;
    this.#power = power;
    this.#relay = relay;
  }

  static async build(t: TestContext): Promise<PowerCutBoard> {
    const power = new Power();
    t.teardown(() => power.cut());
    const relay = await tpmRelay(
      t,
      () => power.port,
      () => power.cut(),
    );
    const { tcti } = relay;
    const rig = await buildRig({ tpm: tcti, wardenConfig: { tpm: { tcti, ownership: "take" } } });
    t.teardown(() => rig.stop());
    return new PowerCutBoard(t, rig, power, relay);
  }

  /** Replaces board and chip by ones that were never powered on. The power is off. */
  async replace(id: string): Promise<void> {
    this.#directory = await temporaryDirectory(this.#t);
    await this.rig.replaceBoard(id);
  }

  /** Switches the power on. */
  async on(): Promise<Programs> {
    await this.#power.chipOn(this.#directory);
    const programs = { warden: this.rig.launchWarden(), agent: this.rig.launchAgent() };
    this.#power.programsOn(programs);
    return programs;
  }

  /**
   * Switches the power on, and off at `moment`.
   * @returns false when the boot came to its end, the request, without the moment.
   */
  async cutAt(moment: Moment): Promise<boolean> {
    const written = "writes" in moment ? whenWritten(this.rig.board[moment.in], moment.writes) : undefined;
    if ("command" in moment) this.#relay.cutAt(moment.command, moment.when, moment.of);
    else this.#relay.cutAt(undefined);
    const programs = await this.on();
    if ("says" in moment) await programs[moment.by].line(moment.says);
    await written;
    if (!("command" in moment)) {
      await this.#power.cut();
      return true;
    }
    const isCut = await Promise.race([
      this.#power.failure.then(() => true),
      programs.agent.line(/life .* -> requested/u).then(
        () => false,
        () => true,
      ),
    ]);
    if (isCut) await this.#power.failure;
    else await this.#power.cut();
    this.#relay.cutAt(undefined);
    return isCut;
  }

  /** Ends the programs in order, the agent first: it has a last entry for the warden. */
  async shutDown({ agent, warden }: Programs): Promise<void> {
    await agent.stop();
    await warden.stop();
  }

  /** What is left in chip and directories. The programs must not be running; the power goes off. */
  async remains(): Promise<Remains> {
    try {
      await using tpm = await openTpm({ port: this.#power.port });
      return { ...(await remainsOf(tpm)), files: await this.#files() };
    } finally {
      await this.#power.cut();
    }
  }

  async #files(): Promise<readonly string[]> {
    const { agentState, wardenState, birth } = this.rig.board;
    const names = await Promise.all(
      [agentState, wardenState, birth].map(async (place) => {
        const entries = await readdir(place, { recursive: true, withFileTypes: true });
        return entries
          .filter((entry) => entry.isFile())
          .map((entry) => relative(dirname(place), join(entry.parentPath, entry.name)));
      }),
    );
    return names.flat().sort();
  }
}

async function remainsOf(tpm: Tpm): Promise<Omit<Remains, "files">> {
  const { failures, isLockedOut } = await lockoutState(tpm);
  const [persistent, indices] = [await handlesFrom(tpm, FIRST_HANDLE.persistent), await handlesFrom(tpm, FIRST_HANDLE.nv)];
  return { persistent, indices, failures, isLockedOut, ownership: await ownership(tpm) };
}

function whenWritten(directory: string, name: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(directory, (_event, file) => {
      if (file?.includes(name) !== true) return;
      watcher.close();
      resolve();
    });
  });
}
