// The hub's authority: who signs certificates, time and cosignatures, read from the state directory.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { parseJson } from "../../hal/format/json.ts";
import { HUB_ANCHORS_BYTES_MAX, type HubAnchors, hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { requireStateFile, STATE_FILES, writeStateFile } from "../state/files.ts";
import { parseSettings, type Settings } from "../state/settings.ts";
import { isServerDue, type Issuer, type KeyAndCertificate, openIssuer } from "./issuer.ts";
import { type NoteSigner, timeSigner, witnessSigner } from "./signers.ts";

export { initHub } from "./init.ts";
export { pem } from "./certificate.ts";
export { CLIENT_AUTH_DOTTED } from "./oids.ts";
export type { Issuer, KeyAndCertificate } from "./issuer.ts";
export type { NoteSigner } from "./signers.ts";

export interface Authority {
  readonly anchors: HubAnchors;
  readonly settings: Settings;
  readonly issuer: Issuer;
  readonly time: NoteSigner;
  readonly witness: NoteSigner;
  /** What the hub's servers show. */
  readonly server: KeyAndCertificate;
  /** Makes the server certificate anew when it is due: for the hub that serves, and nobody else. @returns it, or undefined when the old one will do. */
  renewServer(nowMs: number): KeyAndCertificate | undefined;
}

/** @throws Fault `hub.not-initialised`, `hub.key-unusable`; as {@link requireStateFile}. */
export function openAuthority(state: string): Authority {
  const anchors = readAnchors(state);
  const settings = parseSettings(requireStateFile(state, STATE_FILES.settings));
  const keyPem = requireStateFile(state, STATE_FILES.authorityKey);
  const certificatePem = requireStateFile(state, STATE_FILES.authority);
  const issuer = usable(`${STATE_FILES.authorityKey}" and "${STATE_FILES.authority}`, () =>
    openIssuer(anchors.name, { keyPem, certificatePem }),
  );
  const current = {
    keyPem: requireStateFile(state, STATE_FILES.serverKey),
    certificatePem: requireStateFile(state, STATE_FILES.server),
  };
  const renew = (): KeyAndCertificate => {
    const server = issuer.issueServer(settings.hosts, Date.now());
    writeStateFile(state, STATE_FILES.serverKey, server.keyPem);
    writeStateFile(state, STATE_FILES.server, server.certificatePem);
    return server;
  };
  const held = { server: current };
  return {
    anchors,
    settings,
    issuer,
    time: usable(STATE_FILES.timeKey, () => timeSigner(anchors.host, requireStateFile(state, STATE_FILES.timeKey))),
    witness: usable(STATE_FILES.witnessKey, () => witnessSigner(anchors.host, requireStateFile(state, STATE_FILES.witnessKey))),
    get server() {
      return held.server;
    },
    renewServer: (nowMs) => {
      if (isUsable(held.server, nowMs)) return undefined;
      held.server = renew();
      return held.server;
    },
  };
}

/** The anchors as `init` wrote them: what goes into a device's image. @throws Fault `hub.not-initialised`, `config.invalid`. */
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
 * Not due, and of one piece: two files cannot be replaced at once, so a crash between them leaves a
 * key without its certificate. What is damaged is made anew. [STA-4]
 */
function isUsable(server: KeyAndCertificate, nowMs: number): boolean {
  try {
    return !isServerDue(server.certificatePem, nowMs) && belongsTogether(server);
  } catch {
    return false;
  }
}

function belongsTogether({ keyPem, certificatePem }: KeyAndCertificate): boolean {
  return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem));
}
