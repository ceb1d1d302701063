// The hub's authority: its keys for certificates, time and cosignatures, from the state directory.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { check } from "../../hal/format/schema.ts";
import { parseJson } from "../../hal/format/json.ts";
import { HUB_ANCHORS_BYTES_MAX, type HubAnchors, hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { parseSettings, requireStateFile, type Settings, STATE_FILES, writeStateFile } from "../state/index.ts";
import { isServerDue, type Issuer, type KeyAndCertificate, createIssuer } from "./issuer.ts";
import { type NoteSigner, timeSigner, witnessSigner } from "./signers.ts";

export interface Authority {
  readonly anchors: HubAnchors;
  readonly settings: Settings;
  readonly issuer: Issuer;
  readonly time: NoteSigner;
  readonly witness: NoteSigner;
  /** What the hub's servers present. */
  readonly server: KeyAndCertificate;
  /**
   * Issues a new server certificate when it is due. Only the running hub, which holds the state
   * lock, may call this.
   * @returns it, or undefined while the old one is good.
   * @throws Fault `file.write-failed`.
   */
  renewServer(nowMs: number): Promise<KeyAndCertificate | undefined>;
}

/** @throws Fault `hub.not-initialised`. */
export function openAuthority(state: string): Authority {
  const anchors = readAnchors(state);
  const settings = parseSettings(requireStateFile(state, STATE_FILES.settings));
  const issuer = createIssuer(anchors.name, {
    keyPem: requireStateFile(state, STATE_FILES.authorityKey),
    certificatePem: requireStateFile(state, STATE_FILES.authority),
  });
  let server: KeyAndCertificate = {
    keyPem: requireStateFile(state, STATE_FILES.serverKey),
    certificatePem: requireStateFile(state, STATE_FILES.server),
  };
  return {
    anchors,
    settings,
    issuer,
    time: timeSigner(anchors.host, requireStateFile(state, STATE_FILES.timeKey)),
    witness: witnessSigner(anchors.host, requireStateFile(state, STATE_FILES.witnessKey)),
    get server() {
      return server;
    },
    renewServer: async (nowMs) => {
      if (isUsable(server, nowMs)) return undefined;
      const next = issuer.issueServer(settings.hosts, Date.now());
      await writeStateFile(state, STATE_FILES.serverKey, next.keyPem);
      await writeStateFile(state, STATE_FILES.server, next.certificatePem);
      server = next;
      return next;
    },
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
 * The certificate is not due and belongs to the key: two files cannot be replaced at once, so a
 * crash between the writes leaves a key without its certificate.
 */
function isUsable({ keyPem, certificatePem }: KeyAndCertificate, nowMs: number): boolean {
  if (isServerDue(certificatePem, nowMs)) return false;
  return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem));
}
