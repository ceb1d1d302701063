// What the upgrade of the device key needs from the rest of the agent.
import type { Fault } from "../../hal/fault.ts";
import type { Protection } from "../../hal/format/identity.ts";
import type { Clock, DeviceKey, DurableFiles } from "../../hal/ports.ts";
import type { CertificateReceipts, CertificateStore, ExpectedCertificate } from "../certificate/index.ts";
import type { EnrolAnswer } from "../enrollers/index.ts";
import type { Upgrade } from "./machine.ts";

/** The stores of keys, as far as an upgrade touches them. Both keys exist while it is under way. */
export interface UpgradeKeys {
  /**
   * Makes the key that is kept like this, or finds the one that an earlier call made.
   * @throws Fault `key.*`: `key.weaker` where only a weaker one can be made.
   */
  make(to: Protection): Promise<DeviceKey>;
  /** @returns undefined when there is none. @throws Fault `key.*` when it cannot be used now. */
  load(to: Protection): Promise<DeviceKey | undefined>;
  /**
   * Makes sure that TLS in this process can use the key.
   * @throws Fault `key.tpm-unavailable` when it cannot; where a restart of the process helps, it
   *   has been asked for.
   */
  prepare(key: DeviceKey): Promise<void>;
  /** Durable when it resolves. */
  remove(protection: Protection): Promise<void>;
}

export interface KeyUpgradePorts {
  readonly files: DurableFiles;
  readonly store: CertificateStore;
  readonly receipts: CertificateReceipts;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** True when decisions may depend on the wall clock now. */
  readonly clockTrusted: () => boolean;
  readonly expected: Pick<ExpectedCertificate, "deviceId" | "authority">;
  readonly keys: UpgradeKeys;
  /**
   * Makes one attempt with a request of the new key: `renew` at /simplereenroll with the
   * certificate of the old key, `enrol` at /simpleenroll.
   */
  readonly request: (key: DeviceKey, way: "renew" | "enrol") => Promise<EnrolAnswer>;
  /**
   * Has the warden replace the recorded key.
   * @throws Fault `birth.conflict`, `key.weaker`, others.
   */
  readonly replace: (key: DeviceKey) => Promise<void>;
  /** For the trail; never throws. */
  readonly report: (outcome: UpgradeOutcome) => void;
}

export type UpgradeOutcome =
  | { readonly kind: "made"; readonly key: DeviceKey }
  | { readonly kind: "replaced"; readonly upgrade: Upgrade }
  | { readonly kind: "abandoned"; readonly upgrade: Upgrade; readonly lastFault: Fault | undefined };
