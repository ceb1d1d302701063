// The upgrade of the device key as the agent drives it: offers a stronger key to the warden, learns
// what an order has granted, and has it carried out. [ID-65] [ID-68] [ID-69]
import { Fault } from "../../hal/fault.ts";
import { defined } from "../../hal/format/defined.ts";
import type { BirthRecord, DeviceIdentity, Protection } from "../../hal/format/identity.ts";
import type { DeviceKey } from "../../hal/ports.ts";
import type { EnrolAnswer } from "../../provisioning/enrollers/index.ts";
import { loadRequest, storeRequest } from "../../provisioning/enrolment/index.ts";
import { describeRequest, signRequest } from "../../provisioning/index.ts";
import type { ClientCredential } from "../../provisioning/tls/index.ts";
import { type KeyUpgrade, openKeyUpgrade, type UpgradeNeed, type UpgradeOutcome } from "../../provisioning/upgrade/index.ts";
import { faultDetail } from "../fault-detail.ts";
import type { IdentityManagerOptions } from "./ports.ts";
import type { UpgradeFacts } from "./upgrade-status.ts";

/** Between two questions to the warden whether an order came; an order wakes the agent besides. */
const LOOK_MS = 30_000;
/** Asking makes a key in the TPM, which is dropped. A TPM that appears later is seen then. */
const ASK_TPM_MS = 6 * 3_600_000;
/** While an ordered key cannot be made: whether a weaker one could be. */
const ASK_TPM_AGAIN_MS = 900_000;

/** What has happened to a connection, as far as the upgrade is concerned. */
export type UpgradeEvent = "accepted" | "rejected" | "old-refused" | "check" | undefined;

export interface KeyUpgraderOptions extends Pick<
  IdentityManagerOptions,
  | "warden"
  | "enroller"
  | "files"
  | "store"
  | "receipts"
  | "authority"
  | "enterpriseNumber"
  | "clock"
  | "random"
  | "clockTrusted"
  | "upgradeKeys"
  | "note"
> {
  readonly identity: DeviceIdentity;
  /** The certificate and key in use. @throws Fault `enrol.pending`. */
  readonly oldCredential: () => ClientCredential;
}

export async function openKeyUpgrader(options: KeyUpgraderOptions): Promise<KeyUpgrader> {
  const { identity, authority, upgradeKeys, warden } = options;
  const upgrade = await openKeyUpgrade({
    ...options,
    expected: { deviceId: identity.id, authority },
    keys: upgradeKeys,
    request: (key, way) => request(options, key, way),
    replace: async (key) => {
      const { protection, fingerprint, chip } = key;
      await warden.call("birth.replace", { protection, keyFingerprint: fingerprint, ...defined({ chip }) });
    },
    report: (outcome) => note(options, outcome),
  });
  return new KeyUpgrader(options, upgrade);
}

export class KeyUpgrader {
  readonly #options: KeyUpgraderOptions;
  readonly #upgrade: KeyUpgrade;
  #strongest: Protection | undefined;
  #askedAtMs: number | undefined;
  #lookedAtMs: number | undefined;
  #isTold = false;
  /** Of the warden or of the disk, which have their own places in the status. */
  #fault: Fault | undefined;

  constructor(options: KeyUpgraderOptions, upgrade: KeyUpgrade) {
    this.#options = options;
    this.#upgrade = upgrade;
  }

  facts(): UpgradeFacts {
    return {
      strongest: this.#strongest,
      state: this.#upgrade.state(),
      lastFault: this.#upgrade.lastFault() ?? this.#fault,
    };
  }

  dueInMs(): number {
    return this.#upgrade.dueInMs();
  }

  /** True from the first connection with the new key until it counts or is given up. */
  isProving(): boolean {
    const { at } = this.#upgrade.state();
    return at === "proving" || at === "replacing";
  }

  /** Before the recorded key is looked for. A disk that takes nothing now is tried again later. */
  async settle(birth: BirthRecord | undefined): Promise<void> {
    if (birth !== undefined) await this.#guarded(() => this.#upgrade.settle(birth));
  }

  /**
   * @param present the recorded key.
   * @param mayAct false while another certificate is being proven: one connection cannot prove two.
   * @returns what the manager must do, in this order.
   */
  async advance(present: DeviceKey, event: UpgradeEvent, mayAct: boolean): Promise<readonly UpgradeNeed[]> {
    const needs: UpgradeNeed[] = [];
    const upgrade = this.#upgrade;
    await this.#guarded(async () => {
      if (event === "accepted") needs.push(await upgrade.accepted());
      if (event === "rejected") needs.push(await upgrade.rejected());
      if (event === "old-refused") needs.push(await upgrade.oldRefused());
      if (upgrade.state().at !== "idle" || present.protection !== "tpm") await this.#look(present, event, needs);
      if (mayAct) needs.push(await upgrade.tick());
    });
    return needs;
  }

  async #look(present: DeviceKey, event: UpgradeEvent, needs: UpgradeNeed[]): Promise<void> {
    const { clock, warden } = this.#options;
    const nowMs = clock.monotonicMs();
    if (event === undefined && this.#lookedAtMs !== undefined && nowMs - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    await this.#askStores(present, nowMs);
    const { grant } = await warden.call("key.offer", defined({ protection: this.#strongest }));
    if (grant === undefined && this.#upgrade.state().at === "idle") return;
    const { birth } = await warden.call("identity.read", {});
    if (birth !== undefined) needs.push(await this.#upgrade.look(birth, grant));
  }

  /** [ID-69] */
  async #askStores({ protection }: DeviceKey, nowMs: number): Promise<void> {
    const everyMs = this.#upgrade.state().at === "making" ? ASK_TPM_AGAIN_MS : ASK_TPM_MS;
    if (this.#askedAtMs !== undefined && nowMs - this.#askedAtMs < everyMs) return;
    this.#askedAtMs = nowMs;
    this.#strongest = await this.#options.upgradeKeys.strongest();
    if (protection !== "file" || this.#strongest === "file" || this.#isTold) return;
    this.#isTold = true;
    this.#options.note({ event: "key.file-beside-tpm", result: "ok", detail: { protection, possible: this.#strongest } });
  }

  /** What fails here must not end the certificate that is in use. */
  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#fault = undefined;
    } catch (error) {
      if (!(error instanceof Fault) || error.code === "assert.broken") throw error;
      this.#fault = error;
    }
  }
}

/** RFC 7030 section 4.2.3 has the client repeat the same request after a 202. */
async function request(options: KeyUpgraderOptions, key: DeviceKey, way: "renew" | "enrol"): Promise<EnrolAnswer> {
  const { warden, enroller, files, identity, enterpriseNumber, oldCredential } = options;
  const { auditKey } = await warden.call("identity.read", {});
  const content = { auditKey, enterpriseNumber };
  const stored = await loadRequest(files, describeRequest(identity, key, content));
  const bytes = stored ?? (await signRequest(identity, key, content));
  if (stored === undefined) await storeRequest(files, bytes);
  return way === "renew" ? await enroller.renew(bytes, oldCredential()) : await enroller.enrol(bytes);
}

function note({ note }: KeyUpgraderOptions, outcome: UpgradeOutcome): void {
  if (outcome.kind === "made") {
    const { protection, fingerprint } = outcome.key;
    note({ event: "key.created", result: "ok", detail: { protection, fingerprint, note: "it is to replace the present key" } });
    return;
  }
  const { order, from, to, made = "none" } = outcome.upgrade;
  if (outcome.kind === "replaced") {
    note({ event: "key.replaced", result: "ok", detail: { order, from, fingerprint: made, protection: to } });
    return;
  }
  const why = outcome.lastFault ?? new Fault("order.expired", "the order is over: it expired, or another one took its place");
  note({ event: "key.upgrade-failed", result: "failed", detail: { order, to, ...faultDetail(why) } });
}
