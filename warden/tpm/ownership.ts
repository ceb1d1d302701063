// The TPM in the hands of the warden: takes ownership at the first boot, keeps it, notices what
// others do, and hands it back. It stops nothing else: whatever the chip does, the warden runs on.
// [ID-50] [ID-52] [ID-53]
import { asFault, Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { ChipAuths, ChipPulse, ChipView, Clock, DurableFiles, TpmChip } from "../../hal/ports.ts";
import { createMutex } from "../../hal/mutex.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { decide, remainsOf } from "./decide.ts";
import { TPM_REASON_CHARACTERS_MAX, type TpmDetails, type TpmOwnership, type TpmState } from "./format.ts";
import { LOOK_MS, MOVES_MAX, RETRY_MS_MAX, RETRY_MS_MIN, SETTLE_MS, STOP_MS } from "./limits.ts";
import { authsOf, type KeyUnder, makeMove, type Pass, takeUpFormer } from "./moves.ts";
import { type ChipPasswords, type ChipRecord, readChipRecord, setRecordAside, writeChipRecord } from "./record.ts";
import { createTpmTrail, type TpmTrail } from "./trail.ts";

/** Who keeps the passwords elsewhere too: the escrow. */
export interface PasswordKeeper {
  /** The passwords of this record are in force. @throws Fault of the files. */
  keep(record: ChipRecord): Promise<void>;
  /** None of ours are in force. */
  drop(): void;
  /** In words; undefined when they are known to be kept elsewhere. */
  whyNotEscrowed(): string | undefined;
}

export interface ChipOwnershipOptions {
  readonly chip: TpmChip;
  /** The warden's state, for the records. */
  readonly files: DurableFiles;
  readonly clock: Clock;
  /** Whether a chip of nobody is taken. */
  readonly ownership: "take" | "leave";
  readonly keeper: PasswordKeeper;
  readonly keyUnder: KeyUnder;
  /** Records in the audit trail. Never throws. */
  readonly record: (entry: AuditEntry) => Promise<void>;
  /** Reports to the journal. */
  readonly report: (fault: Fault) => void;
}

export interface ChipOwnership {
  state(): TpmState;
  /** The state with its reason and numbers. */
  details(): TpmDetails;
  /**
   * The passwords that the record has; undefined where there are none. They may not be on the chip
   * yet while it is being taken.
   */
  passwords(): Promise<ChipPasswords | undefined>;
  /**
   * Hands the chip back: passwords, counter, keys of ours, limits; at the end the record is
   * removed. A power cut leaves a record that goes on with it at the next start. Does nothing where
   * the chip is not ours. The chip is not taken again before the next start.
   * @returns what could not be handed back, in words.
   * @throws Fault `tpm.locked-out` when a wrong lockout password was tried since the chip started:
   *   restart, and call it again before another program does; other `tpm.*`; those of the files.
   */
  release(): Promise<readonly string[]>;
  /**
   * Steps that need the endorsement hierarchy, which the agent may not use.
   * @throws Fault `tpm.owned-by-others` where the chip is not ours.
   */
  endorsement<T>(work: (chip: TpmChip, auths: ChipAuths) => Promise<T>): Promise<T>;
  /** What is wrong now. */
  troubles(): readonly Fault[];
  stop(): Promise<void>;
}

/**
 * Resolves when the chip is settled or absent, and after 20 s at the latest; with a chip that is
 * late or slow it goes on in the background. Never rejects.
 */
export async function openChipOwnership(options: ChipOwnershipOptions): Promise<ChipOwnership> {
  const ownership = new Ownership(options);
  await ownership.start();
  return ownership;
}

/** What the last look showed. */
interface Seen {
  readonly isPresent: boolean;
  readonly ownership: TpmOwnership;
  readonly why?: Fault | undefined;
  readonly pulse?: ChipPulse;
  readonly storage?: string | undefined;
  readonly storageKey?: ChipRecord["storageKey"];
  readonly endorsement?: string | undefined;
}

class Ownership implements ChipOwnership {
  readonly #options: ChipOwnershipOptions;
  readonly #trail: TpmTrail;
  readonly #exclusively = createMutex();
  readonly #ending = new AbortController();
  #seen: Seen = { isPresent: false, ownership: "unknown" };
  #isReleased = false;
  /** Lasts until the next pass: why the last one failed. */
  #failure: Fault | undefined;
  /** Lasts until the end: what happened to the record or to the chip. */
  readonly #found: Fault[] = [];
  #running: Promise<void> = Promise.resolve();

  constructor(options: ChipOwnershipOptions) {
    this.#options = options;
    this.#trail = createTpmTrail(options.clock, options.record);
  }

  async start(): Promise<void> {
    const { promise: settled, resolve } = Promise.withResolvers<void>();
    this.#running = this.#run(resolve);
    const waiting = new AbortController();
    await Promise.race([settled, this.#options.clock.sleep(SETTLE_MS, waiting.signal)]);
    waiting.abort();
  }

  /** @param settled is called once the first pass is over, or there is no chip to wait for. */
  async #run(settled: () => void): Promise<void> {
    const { chip, clock } = this.#options;
    for (let retryMs = RETRY_MS_MIN; !this.#ending.signal.aborted;) {
      const presence = await chip.presence();
      if (presence === "present") await this.#exclusively(() => this.#guarded());
      else this.#seen = { isPresent: presence === "expected", ownership: "unknown" };
      if (presence !== "expected" && (this.#failure === undefined || !isPassing(this.#failure))) settled();
      const isSettled = presence === "present" && this.#failure === undefined;
      retryMs = isSettled ? RETRY_MS_MIN : Math.min(retryMs * 2, RETRY_MS_MAX);
      await clock.sleep(isSettled ? LOOK_MS : retryMs, this.#ending.signal);
    }
    settled();
  }

  /** A pass, or a short look where the last pass left nothing to do. */
  async #guarded(): Promise<void> {
    try {
      if (this.#isReleased) return;
      const before = this.#seen.pulse;
      if (this.#failure === undefined && before !== undefined) {
        const pulse = await this.#options.chip.pulse();
        await this.#notice(pulse);
        this.#seen = { ...this.#seen, pulse };
        if (isSameOwner(before, pulse)) return;
      }
      await this.#pass();
      this.#failure = undefined;
    } catch (error) {
      this.#fail(asFault(error, "assert.broken", "settle the TPM"));
    }
  }

  #fail(fault: Fault): void {
    if (this.#failure?.message !== fault.message) this.#options.report(fault);
    this.#failure = fault;
    this.#seen = { ...this.#seen, isPresent: true };
  }

  /** Moves until there is nothing left to do. */
  async #pass(): Promise<void> {
    const { chip, files, ownership: wants, keyUnder } = this.#options;
    const pass: Pass = { record: await this.#load(), proofs: {}, made: new Set(), keyUnder };
    for (let n = 0; n < MOVES_MAX; n++) {
      const view = await chip.look();
      await this.#notice(view);
      if (n === 0) await takeUpFormer(files, pass, view);
      const move = decide({ view, record: pass.record, proofs: pass.proofs, made: pass.made, wants });
      if (move.do === "rest") return await this.#settle(pass, view, move);
      if (move.do === "set-aside") await this.#change(move.why);
      const before = pass.record;
      await makeMove({ chip, files }, move, pass, view);
      pass.made.add(move.do);
      if (move.do === "forget" && before !== undefined) return await this.#releasedWith(before);
    }
    throw new Fault("tpm.refused", `the TPM does not keep what it is told: ${MOVES_MAX} steps changed nothing; report it`);
  }

  async #load(): Promise<ChipRecord | undefined> {
    const { files } = this.#options;
    const found = await readChipRecord(files);
    if ("record" in found) return found.record;
    await setRecordAside(files, found.bytes);
    const { code, message } = found.fault;
    const kept = found.bytes.byteLength === 0 ? "it is empty" : "a copy of it was set aside";
    this.#find(new Fault(code, `${message}; ${kept}, and its passwords are not known until it is put back`));
    files.noteDamage?.(found.fault);
    return undefined;
  }

  async #settle(pass: Pass, view: ChipView, { ownership, why }: Pick<Seen, "ownership" | "why">): Promise<void> {
    const before = this.#seen.ownership;
    this.#seen = {
      isPresent: true,
      ownership,
      why,
      pulse: view,
      storage: view.storage?.name ?? pass.record?.storage,
      storageKey: pass.record?.storageKey,
      endorsement: pass.record?.endorsement ?? (view.endorsement?.isFit === true ? view.endorsement.name : undefined),
    };
    if (ownership === "ours" && pass.record !== undefined) await this.#options.keeper.keep(pass.record);
    else this.#options.keeper.drop();
    if (ownership === "ours" && pass.made.has("note") && pass.record !== undefined) await this.#trail.owned(pass.record);
    if (ownership === "others" && before !== "others" && why !== undefined) {
      this.#options.report(why);
      if (pass.record !== undefined) await this.#trail.changed(why);
    }
  }

  async #change(why: Fault): Promise<void> {
    this.#find(why);
    await this.#trail.changed(why);
  }

  #find(fault: Fault): void {
    if (this.#found.some(({ message }) => message === fault.message)) return;
    this.#found.push(fault);
    this.#options.report(fault);
  }

  /** [ID-52] A lockout stops nothing of ours; it is told once, when it begins. */
  async #notice(pulse: ChipPulse): Promise<void> {
    if (pulse.isLockedOut && this.#seen.pulse?.isLockedOut !== true) {
      await this.#trail.lockout(pulse);
      this.#options.report(lockoutFault(pulse));
    }
    this.#seen = { ...this.#seen, isPresent: true, pulse };
  }

  async #releasedWith(record: ChipRecord): Promise<void> {
    const view = await this.#options.chip.look();
    this.#isReleased = true;
    this.#options.keeper.drop();
    const remains = remainsOf(view, record);
    this.#seen = { isPresent: true, ownership: "nobody", pulse: view, storage: view.storage?.name };
    await this.#trail.released(remains);
    this.#remains = remains;
  }

  #remains: readonly string[] = [];

  release(): Promise<readonly string[]> {
    return this.#exclusively(async () => {
      const record = this.#isReleased ? undefined : await this.#load();
      if (record === undefined) return this.#remains;
      await writeChipRecord(this.#options.files, { ...record, step: "releasing" });
      await this.#pass();
      if (!this.#isReleased) await writeChipRecord(this.#options.files, record);
      if (!this.#isReleased)
        throw this.#seen.why ?? new Fault("tpm.owned-by-others", "the TPM is not this device's to hand back");
      return this.#remains;
    });
  }

  passwords(): Promise<ChipPasswords | undefined> {
    return this.#exclusively(async () => (await this.#load())?.passwords);
  }

  endorsement<T>(work: (chip: TpmChip, auths: ChipAuths) => Promise<T>): Promise<T> {
    return this.#exclusively(async () => {
      const { chip } = this.#options;
      if (this.#seen.ownership !== "ours")
        throw (
          this.#seen.why ??
          this.#failure ??
          new Fault("tpm.owned-by-others", "the TPM is not this device's; it says why in its status")
        );
      return await work(chip, authsOf(await chip.look(), await this.#load()));
    });
  }

  state(): TpmState {
    const { isPresent, ownership, pulse, storage, endorsement } = this.#seen;
    return {
      present: isPresent,
      ownership,
      clear: pulse === undefined ? "unknown" : pulse.isClearForbidden ? "forbidden" : "possible",
      lockedOut: pulse?.isLockedOut === true,
      escrowed: this.#options.keeper.whyNotEscrowed() === undefined,
      ...(endorsement === undefined ? {} : { endorsement }),
      ...(storage === undefined ? {} : { storage }),
    };
  }

  details(): TpmDetails {
    const { why, pulse, storageKey } = this.#seen;
    const reason = why ?? this.#failure;
    const notEscrowed = this.#options.keeper.whyNotEscrowed();
    return {
      ...this.state(),
      ...(reason === undefined ? {} : { why: clip(reason.message, TPM_REASON_CHARACTERS_MAX) }),
      ...(storageKey === undefined ? {} : { storageKey }),
      ...(notEscrowed === undefined ? {} : { notEscrowed: clip(notEscrowed, TPM_REASON_CHARACTERS_MAX) }),
      ...(pulse === undefined
        ? {}
        : { failures: pulse.failures, failuresMax: pulse.limits.tries, recoveryS: pulse.limits.recoveryS }),
    };
  }

  troubles(): readonly Fault[] {
    const { why, pulse } = this.#seen;
    const lockout = pulse?.isLockedOut === true ? lockoutFault(pulse) : undefined;
    return [this.#failure, why, lockout, ...this.#found].filter((fault) => fault !== undefined);
  }

  /** A command that hangs is left behind: it changes nothing that this program would still see. */
  async stop(): Promise<void> {
    this.#ending.abort();
    const waiting = new AbortController();
    await Promise.race([this.#running, this.#options.clock.sleep(STOP_MS, waiting.signal)]);
    waiting.abort();
  }
}

function isSameOwner(one: ChipPulse, other: ChipPulse): boolean {
  const bitsOf = ({ passwords, isClearForbidden }: ChipPulse): string =>
    [passwords.owner, passwords.endorsement, passwords.lockout, isClearForbidden].join();
  return bitsOf(one) === bitsOf(other);
}

/** Trouble that goes away by itself soon: the opening waits for it. */
function isPassing({ code }: Fault): boolean {
  return ["tpm.busy", "tpm.slots-full"].includes(code);
}

function lockoutFault({ failures, limits }: ChipPulse): Fault {
  return new Fault(
    "tpm.locked-out",
    `another program tried ${failures} wrong passwords, so the TPM locks protected objects and forgets one try in ${limits.recoveryS} s; the device's key is not among them and goes on working: look for that program`,
  );
}
