// The upgrade of the device key: carries out what the machine decides, and records each step before
// it is taken. [ID-68]
import { Fault } from "../../hal/fault.ts";
import type { BirthRecord } from "../../hal/format/identity.ts";
import type { DeviceKey } from "../../hal/ports.ts";
import { checkIssued, checkStored, type DeviceCertificate, type ExpectedCertificate } from "../certificate/index.ts";
import { type Active, type Effect, type Event, type Granted, next, resume, type State, type Step } from "./machine.ts";
import type { KeyUpgradePorts } from "./ports.ts";
import { loadUpgrade, storeUpgrade } from "./record.ts";

/** What the rest of the agent must do. */
export type UpgradeNeed =
  | { readonly need: "nothing" }
  /** Connect with these, and report the outcome with `accepted` or `rejected`. */
  | { readonly need: "connect-with-new"; readonly key: DeviceKey; readonly certificate: DeviceCertificate }
  | { readonly need: "connect-with-old" }
  /** The recorded key is the new one, and its certificate is the current one. */
  | { readonly need: "switched"; readonly key: DeviceKey | undefined };

const NOTHING: UpgradeNeed = { need: "nothing" };

type Recorded = Pick<BirthRecord, "protection" | "keyFingerprint">;

/** One upgrade after the other. Calls must not overlap. */
export interface KeyUpgrade {
  state(): State;
  /** Why the last step did not succeed, until one does. */
  lastFault(): Fault | undefined;
  /** Until `tick` has something to do, in milliseconds. */
  dueInMs(): number;
  /**
   * Completes an upgrade whose key the warden has recorded already. Call it at a start, before the
   * recorded key is looked for.
   * @throws Fault of the files.
   */
  settle(recorded: Recorded): Promise<void>;
  /** Takes up what the warden says: begins an upgrade, goes on with one, or gives one up. */
  look(recorded: Recorded, granted: Granted | undefined): Promise<UpgradeNeed>;
  /** Goes on when a wait has ended. The first call goes on with what an earlier run left. */
  tick(): Promise<UpgradeNeed>;
  accepted(): Promise<UpgradeNeed>;
  rejected(): Promise<UpgradeNeed>;
  oldRefused(): Promise<UpgradeNeed>;
}

export async function openKeyUpgrade(ports: KeyUpgradePorts): Promise<KeyUpgrade> {
  return new Upgrading(ports, await loadUpgrade(ports.files));
}

class Upgrading implements KeyUpgrade {
  readonly #ports: KeyUpgradePorts;
  #state: State;
  /** On the monotonic clock; undefined while nothing is awaited. */
  #dueAtMs: number | undefined;
  #isResumed = false;
  /**
   * The new key, from its first connection on. Its TPM is not asked again then: a simulator serves
   * one opening at a time, and OpenSSL in this process may want it at any moment.
   */
  #proven: DeviceKey | undefined;
  #lastFault: Fault | undefined;

  constructor(ports: KeyUpgradePorts, state: State) {
    this.#ports = ports;
    this.#state = state;
  }

  state(): State {
    return this.#state;
  }

  lastFault(): Fault | undefined {
    return this.#lastFault;
  }

  dueInMs(): number {
    if (this.#state.at !== "idle" && !this.#isResumed) return 0;
    if (this.#dueAtMs === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#dueAtMs - this.#ports.clock.monotonicMs());
  }

  async settle(recorded: Recorded): Promise<void> {
    if (this.#state.at === "idle" || this.#state.upgrade.made !== recorded.keyFingerprint) return;
    this.#isResumed = true;
    const { state, effects } = next(this.#state, { kind: "looked", recorded, granted: undefined });
    await this.#take({ state, effects: effects.length === 0 ? [{ do: "remove-old" }] : effects });
  }

  async look(recorded: Recorded, granted: Granted | undefined): Promise<UpgradeNeed> {
    const before = this.#state;
    const step = next(before, { kind: "looked", recorded, granted });
    // What an earlier run left is gone on with by the first tick.
    if (before.at === "idle" || before.at !== step.state.at) this.#isResumed = true;
    return await this.#take(step);
  }

  async tick(): Promise<UpgradeNeed> {
    if (this.dueInMs() > 0) return NOTHING;
    if (this.#isResumed) return await this.#apply({ kind: "go" });
    this.#isResumed = true;
    return await this.#take(resume(this.#state));
  }

  accepted(): Promise<UpgradeNeed> {
    return this.#apply({ kind: "accepted" });
  }

  rejected(): Promise<UpgradeNeed> {
    this.#lastFault = new Fault("tunnel.refused", "upgrade the key: the hub refused a connection with the new one");
    return this.#apply({ kind: "rejected" });
  }

  oldRefused(): Promise<UpgradeNeed> {
    return this.#apply({ kind: "old-refused" });
  }

  async #apply(event: Event): Promise<UpgradeNeed> {
    return await this.#take(next(this.#state, event));
  }

  /** A step is on the disk before anything is done for it. */
  async #take({ state, effects }: Step): Promise<UpgradeNeed> {
    const before = this.#state;
    try {
      if (!isSameOnDisk(before, state)) await storeUpgrade(this.#ports.files, state);
    } catch (error) {
      return await this.#stayed(before, error);
    }
    this.#state = state;
    if (state.at === "idle" || effects.length > 0) this.#dueAtMs = undefined;
    let need = NOTHING;
    for (const effect of effects) {
      const result = await this.#run(effect, state);
      if (result.need !== "nothing") need = result;
      if (this.#state !== state) break; // the effect has led to another step
    }
    return need;
  }

  /** A disk that takes no record: the step before stands, and is gone on with later. */
  async #stayed(before: State, error: unknown): Promise<UpgradeNeed> {
    this.#lastFault = faultOf(error);
    if (before.at === "idle") return NOTHING; // the next look begins it again
    const { effects } = next(before, { kind: "failed", code: this.#lastFault.code, jitter: this.#ports.random() });
    for (const effect of effects) if (effect.do === "wait") this.#wait(effect.forMs);
    return NOTHING;
  }

  async #run(effect: Effect, state: State): Promise<UpgradeNeed> {
    if (state.at === "idle") return NOTHING;
    if (effect.do === "wait") {
      this.#wait(effect.forMs);
      return NOTHING;
    }
    if (effect.do === "connect-with-old") return { need: "connect-with-old" };
    try {
      return await this.#work(effect, state);
    } catch (error) {
      const fault = faultOf(error);
      this.#lastFault = fault;
      return await this.#apply({ kind: "failed", code: fault.code, jitter: this.#ports.random() });
    }
  }

  async #work(effect: Exclude<Effect, { readonly do: "wait" | "connect-with-old" }>, state: Active): Promise<UpgradeNeed> {
    const { store, keys, report } = this.#ports;
    const { upgrade } = state;
    switch (effect.do) {
      case "make-key": {
        this.#proven = undefined;
        const key = await keys.make(upgrade.to);
        report({ kind: "made", key });
        return await this.#done({ kind: "key-ready", made: key.fingerprint });
      }
      case "request":
        return await this.#request(state, effect.way);
      case "connect-with-new":
        return await this.#connect(state);
      case "drop-certificate":
        await store.discardUpgrade();
        return NOTHING;
      case "replace-record": {
        const key = this.#proven ?? (await this.#newKey(state));
        if (key === undefined) throw new Fault("key.missing", "replace the recorded key: the new one is gone");
        await this.#ports.replace(key);
        return await this.#done({ kind: "replaced" });
      }
      case "remove-old":
        await store.adoptUpgrade();
        await keys.remove(upgrade.was);
        report({ kind: "replaced", upgrade });
        await this.#done({ kind: "removed" });
        return { need: "switched", key: this.#proven };
      case "remove-new":
        await store.discardUpgrade();
        await keys.remove(upgrade.to);
        report({ kind: "abandoned", upgrade, lastFault: this.#lastFault });
        return await this.#done({ kind: "removed" });
    }
  }

  async #done(event: Event): Promise<UpgradeNeed> {
    this.#lastFault = undefined;
    return await this.#apply(event);
  }

  async #request(state: Active, way: "renew" | "enrol"): Promise<UpgradeNeed> {
    const { store, receipts, clock, clockTrusted, random, request } = this.#ports;
    const key = await this.#newKey(state);
    if (key === undefined) return await this.#apply({ kind: "lost", what: "key" });
    const answer = await request(key, way);
    if (answer.kind === "later") {
      const { code, retryAfterMs } = answer;
      const what = code !== "enrol.server-error" ? "an operator has to approve it at the hub" : "the authority is busy";
      this.#lastFault = new Fault(code, `ask for the certificate of the new key: ${what}`);
      return await this.#apply({ kind: "later", retryAfterMs, jitter: random() });
    }
    const certificate = checkIssued(answer.certificates, this.#expected(key));
    if (clockTrusted()) await receipts.record(certificate.pem, clock.nowMs());
    await store.putUpgrade(certificate.pem);
    return await this.#done({ kind: "issued" });
  }

  async #connect(state: Active): Promise<UpgradeNeed> {
    const key = await this.#newKey(state);
    if (key === undefined) return await this.#apply({ kind: "lost", what: "key" });
    const certificate = await this.#certificate(key);
    if (certificate === undefined) return await this.#apply({ kind: "lost", what: "certificate" });
    await this.#ports.keys.prepare(key);
    this.#proven = key;
    return { need: "connect-with-new", key, certificate };
  }

  /** @returns undefined when there is none, or another one than was made. */
  async #newKey({ upgrade: { to, made } }: Active): Promise<DeviceKey | undefined> {
    const key = await this.#ports.keys.load(to);
    return key?.fingerprint === made ? key : undefined;
  }

  async #certificate(key: DeviceKey): Promise<DeviceCertificate | undefined> {
    const pem = await this.#ports.store.upgrade();
    if (pem === undefined) return undefined;
    try {
      return checkStored(pem, this.#expected(key));
    } catch (error) {
      this.#lastFault = faultOf(error);
      return undefined;
    }
  }

  #expected({ publicKey }: DeviceKey): ExpectedCertificate {
    const { expected, clock, clockTrusted } = this.#ports;
    return { ...expected, publicKey, nowMs: clockTrusted() ? clock.nowMs() : undefined };
  }

  #wait(forMs: number): void {
    this.#dueAtMs = this.#ports.clock.monotonicMs() + forMs;
  }
}

function isSameOnDisk(before: State, after: State): boolean {
  if (before.at === "idle" || after.at === "idle") return before.at === after.at;
  const { upgrade: was } = before;
  const { upgrade: is } = after;
  return before.at === after.at && was.order === is.order && was.made === is.made;
}

/** @throws any defect in our code. */
function faultOf(error: unknown): Fault {
  if (!(error instanceof Fault) || error.code === "assert.broken") throw error;
  return error;
}
