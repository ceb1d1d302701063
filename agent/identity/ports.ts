// What the identity manager needs from the rest of the agent, and what it reports to it.
import type { Fault } from "../../hal/fault.ts";
import type { BirthRecord, DeviceIdentity, Protection } from "../../hal/format/identity.ts";
import type { Clock, DeviceKey, DurableFiles } from "../../hal/ports.ts";
import type { CertificateReceipts, CertificateStore } from "../../provisioning/certificate/index.ts";
import type { Enroller } from "../../provisioning/enrollers/index.ts";
import type { EnrolmentProgress } from "../../provisioning/enrolment/index.ts";
import type { UpgradeKeys } from "../../provisioning/upgrade/index.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";

export interface SettledKey {
  readonly key: DeviceKey;
  /** It was made by this call, not found. */
  readonly made: boolean;
  /** Why the key is not in the TPM, when it is not. */
  readonly note: string | undefined;
}

export interface AgentUpgradeKeys extends UpgradeKeys {
  /** @returns the strongest protection that this machine could give a new key now. */
  strongest(): Promise<Protection>;
}

export interface IdentityManagerOptions {
  readonly warden: WardenClient;
  readonly enroller: Enroller;
  readonly files: DurableFiles;
  readonly store: CertificateStore;
  readonly receipts: CertificateReceipts;
  /** PEM of the pinned authorities. [ID-80] */
  readonly authority: string;
  readonly enterpriseNumber: number | undefined;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly clockTrusted: () => boolean;
  /** The key of the one identity: found, or made where no key was ever born. [ID-6] */
  readonly settleKey: (birth: BirthRecord | undefined) => Promise<SettledKey>;
  /** The keys that an order may put in the place of the present one. [ID-68] */
  readonly upgradeKeys: AgentUpgradeKeys;
  /** For the audit trail; never throws. */
  readonly note: (entry: AuditEntry) => void;
  /** The device has a name. Awaited before anything is asked of the hub; a fault is tried again. */
  readonly onIdentity: (identity: DeviceIdentity) => Promise<void>;
  readonly onProgress: (progress: EnrolmentProgress) => void;
  /** The key cannot be used, and time alone does not mend that: told once for each reason. */
  readonly onKeyFault: (fault: Fault) => void;
  /** There is a certificate to connect with: the first one, or another than before. */
  readonly onCertificate: () => void;
  readonly onCertificateLost: () => void;
}
