// The hub's authority: its keys for certificates, time and cosignatures, from the state directory.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { parseJson } from "../../hal/format/json.ts";
import { HUB_ANCHORS_BYTES_MAX, type HubAnchors, hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { parseSettings, requireStateFile, type Settings, STATE_FILES, writeStateFile } from "../state/index.ts";
import { clockFault, isServerDue, type Issuer, type KeyAndCertificate, createIssuer, validityOf } from "./issuer.ts";
import { type NoteSigner, createTimeSigner, createWitnessSigner } from "./signers.ts";

export interface Authority {
  readonly anchors: HubAnchors;
  readonly settings: Settings;
  readonly issuer: Issuer;
  readonly time: NoteSigner;
  readonly witness: NoteSigner;
  /** What the hub's servers present. */
  readonly server: KeyAndCertificate;
  /**
   * Issues a new server certificate when it is due and the authority is valid. Only the running
   * hub, which holds the state lock, may call this.
   * @returns it, or undefined while the old one is good.
   * @throws Fault `file.write-failed`.
   */
  renewServer(nowMs: number): Promise<KeyAndCertificate | undefined>;
  /** [STA-40] What is wrong with the dates of the authority and of the server certificate. */
  clockFault(nowMs: number): Fault | undefined;
}

/** @throws Fault `hub.not-initialised`, `hub.key-unusable`; as {@link requireStateFile}. */
export function loadAuthority(state: string): Authority {
  const anchors = readAnchors(state);
  const settings = parseSettings(requireStateFile(state, STATE_FILES.settings));
  const keyPem = requireStateFile(state, STATE_FILES.authorityKey);
  const certificatePem = requireStateFile(state, STATE_FILES.authority);
  const issuer = usable(`${STATE_FILES.authorityKey}" and "${STATE_FILES.authority}`, () =>
    createIssuer(anchors.name, { keyPem, certificatePem }),
  );
  let server: KeyAndCertificate = {
    keyPem: requireStateFile(state, STATE_FILES.serverKey),
    certificatePem: requireStateFile(state, STATE_FILES.server),
  };
  return {
    anchors,
    settings,
    issuer,
    time: usable(STATE_FILES.timeKey, () => createTimeSigner(anchors.host, requireStateFile(state, STATE_FILES.timeKey))),
    witness: usable(STATE_FILES.witnessKey, () =>
      createWitnessSigner(anchors.host, requireStateFile(state, STATE_FILES.witnessKey)),
    ),
    get server() {
      return server;
    },
    renewServer: async (nowMs) => {
      if (isUsable(server, nowMs, issuer) || clockFault(nowMs, "authority", issuer.validity) !== undefined) return undefined;
      const next = issuer.issueServer(settings.hosts, nowMs);
      await writeStateFile(state, STATE_FILES.serverKey, next.keyPem);
      await writeStateFile(state, STATE_FILES.server, next.certificatePem);
      server = next;
      return next;
    },
    clockFault: (nowMs) =>
      clockFault(nowMs, "authority", issuer.validity) ??
      clockFault(nowMs, "server certificate", validityOf(server.certificatePem)),
  };
}

/**
 * The anchors as `init` wrote them, which go into a device's image.
 * @throws Fault `hub.not-initialised`, `config.invalid`.
 */
export function readAnchors(state: string): HubAnchors {
  const text = requireStateFile(state, STATE_FILES.anchors);
  return check(
    hubAnchorsSchema,
    parseJson(text, HUB_ANCHORS_BYTES_MAX, "the hub's anchors"),
    "the hub's anchors",
    "config.invalid",
  );
}

/**
 * [STA-4] What OpenSSL says about a damaged file helps nobody.
 * @throws Fault `hub.key-unusable`.
 */
function usable<T>(files: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("hub.key-unusable", `open "${files}": damaged; put back the copy that was made after init`, { cause: error });
  }
}

/**
 * The certificate is not due and belongs to the key: two files cannot be replaced at once, so a
 * crash between the writes leaves a key without its certificate. Damaged ones are made anew.
 * [STA-4]
 */
function isUsable({ keyPem, certificatePem }: KeyAndCertificate, nowMs: number, { validity }: Issuer): boolean {
  try {
    if (isServerDue(certificatePem, nowMs, validity.toMs)) return false;
    return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    return false;
  }
}
