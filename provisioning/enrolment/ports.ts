// What enrolment needs from the rest of the agent, and what it reports.
import type { Fault } from "../../hal/fault.ts";
import type { DeviceIdentity } from "../../hal/format/identity.ts";
import type { Clock, DeviceKey, DurableFiles } from "../../hal/ports.ts";
import type { CertificateReceipts, CertificateStore, DeviceCertificate } from "../certificate/index.ts";
import type { RequestOptions } from "../csr.ts";
import type { Enroller } from "../enrollers/index.ts";

export interface EnrolmentPorts {
  readonly enroller: Enroller;
  readonly identity: DeviceIdentity;
  readonly request: RequestOptions;
  /**
   * The device's key. The first call ever makes it, later calls return the same one, and its birth
   * is recorded before it is returned. [ID-6]
   */
  readonly settleKey: () => Promise<DeviceKey>;
  readonly files: DurableFiles;
  readonly store: CertificateStore;
  readonly receipts: CertificateReceipts;
  /**
   * The hub no longer accepts the certificate on disk: request another one, although its dates are
   * valid. [ID-23]
   */
  readonly again?: boolean | undefined;
  /** PEM of the pinned authorities. [ID-80] */
  readonly authority: string;
  readonly clock: Clock;
  /** True when the wall clock may decide that a certificate is out of date. */
  readonly clockTrusted: () => boolean;
  /** In [0, 1). */
  readonly random: () => number;
  readonly report: (progress: EnrolmentProgress) => void;
}

export type EnrolmentProgress =
  | { readonly kind: "key-ready"; readonly key: DeviceKey }
  | { readonly kind: "requested" }
  /**
   * An operator has not approved id and fingerprint yet, or something failed. The device asks again
   * after `forMs`.
   */
  | { readonly kind: "waiting"; readonly fault: Fault; readonly forMs: number }
  | { readonly kind: "certificate-ready"; readonly certificate: DeviceCertificate };

export interface Enrolled {
  readonly key: DeviceKey;
  readonly certificate: DeviceCertificate;
}
