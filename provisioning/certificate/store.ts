// The device certificate on disk: `current`, and beside it `next` until the hub has accepted a
// connection with it. [ID-9]
import type { DurableFiles } from "../../hal/ports.ts";
import { CERTIFICATE_FILE_BYTES_MAX } from "./limits.ts";

const CURRENT = "certificate.pem";
const NEXT = "certificate-next.pem";
/** Of the key that is to replace the present one. */
const UPGRADE = "certificate-upgrade.pem";

export interface StoredCertificates {
  /** PEM with intermediates; undefined before the first enrolment. */
  readonly current: string | undefined;
  /** A certificate that has not been proven yet. */
  readonly next: string | undefined;
}

export interface CertificateStore {
  /**
   * Completes a swap that a power cut interrupted, then reads.
   * @throws Fault of {@link DurableFiles}.
   */
  load(): Promise<StoredCertificates>;
  /**
   * Stores the first certificate, or one that replaces an expired one: nothing has to be preserved.
   */
  putCurrent(pem: string): Promise<void>;
  putNext(pem: string): Promise<void>;
  /**
   * Makes `next` the `current` one. After a cut at any point {@link load} finds the old pair or the
   * new certificate alone.
   */
  swap(): Promise<void>;
  discardNext(): Promise<void>;
  /** The certificate of the key that is to replace the present one. [ID-68] */
  upgrade(): Promise<string | undefined>;
  putUpgrade(pem: string): Promise<void>;
  /**
   * Makes the certificate of the new key the `current` one; those of the old key are discarded.
   * After a cut at any point the same call completes it.
   */
  adoptUpgrade(): Promise<void>;
  discardUpgrade(): Promise<void>;
}

export function createCertificateStore(files: DurableFiles): CertificateStore {
  async function read(name: string): Promise<string | undefined> {
    const bytes = await files.get(name, CERTIFICATE_FILE_BYTES_MAX);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1");
  }

  async function write(name: string, pem: string): Promise<void> {
    await files.put(name, Buffer.from(pem, "latin1"));
  }

  return {
    async load() {
      const [current, next] = [await read(CURRENT), await read(NEXT)];
      if (next === undefined || next !== current) return { current, next };
      await files.remove(NEXT); // a swap was cut after its first step
      return { current, next: undefined };
    },
    putCurrent: async (pem) => write(CURRENT, pem),
    putNext: async (pem) => write(NEXT, pem),
    async swap() {
      const next = await read(NEXT);
      if (next === undefined) return;
      await write(CURRENT, next);
      await files.remove(NEXT);
    },
    discardNext: async () => files.remove(NEXT),
    upgrade: async () => read(UPGRADE),
    putUpgrade: async (pem) => write(UPGRADE, pem),
    async adoptUpgrade() {
      const upgrade = await read(UPGRADE);
      if (upgrade === undefined) return;
      await write(CURRENT, upgrade);
      await files.remove(NEXT);
      await files.remove(UPGRADE);
    },
    discardUpgrade: async () => files.remove(UPGRADE),
  };
}
