// `sallyport-hub init`: makes the authority, the keys and the anchors file for the devices' image.
import { check } from "../../hal/format/schema.ts";
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import { type HubAnchors, hubAnchorsSchema } from "../../ota/format/anchors.ts";
import type { FileOps } from "../../hal/linux/files/index.ts";
import {
  CERTIFICATE_LIFE_MS_DEFAULT,
  CERTIFICATE_LIFE_MS_MIN,
  formatSettings,
  lockState,
  makeStateDirectory,
  readStateFile,
  settingsSchema,
  STATE_FILES,
  writeStateFile,
} from "../state/index.ts";
import { CRL_URL_CHARACTERS_MAX } from "../limits.ts";
import { makeAuthority, createIssuer } from "./issuer.ts";
import { makeNoteKey, createTimeSigner, verifierKey, createWitnessSigner } from "./signers.ts";

export interface InitOptions {
  readonly state: string;
  /** For people. */
  readonly name: string;
  /** Host names and addresses of the hub. Devices check the first one. */
  readonly hosts: readonly string[];
  readonly estPort?: number;
  readonly mqttPort?: number;
  readonly certificateLifeMs?: number;
}

export const EST_PORT_DEFAULT = 8443;
export const MQTT_PORT_DEFAULT = 8883;

/**
 * Makes a hub. The anchors file is written last: a directory with one is a hub, and without one it
 * is the rest of an interrupted init, which may be run again.
 * @throws Fault `hub.already-initialised`, because an authority that devices are pinned to is never
 *   replaced; `config.invalid` for the options; `file.write-failed`.
 */
export async function initHub(options: InitOptions, ops?: FileOps): Promise<HubAnchors> {
  const { state, name, hosts, estPort = EST_PORT_DEFAULT, mqttPort = MQTT_PORT_DEFAULT } = options;
  const certificateLifeMs = options.certificateLifeMs ?? CERTIFICATE_LIFE_MS_DEFAULT;
  const settings = check(settingsSchema, { v: 1, hosts, certificateLifeMs }, "the hub's settings", "config.invalid");
  expectNoHub(state);

  const nowMs = Date.now();
  const authority = makeAuthority(name, nowMs);
  const server = createIssuer(name, authority).issueServer(settings.hosts, nowMs);
  const [timeKey, witnessKey] = [makeNoteKey(), makeNoteKey()];
  const [host = ""] = settings.hosts;
  const anchors = check(
    hubAnchorsSchema,
    {
      v: 1,
      name,
      host,
      estPort,
      mqttPort,
      authority: authority.certificatePem,
      timeKey: verifierKey(createTimeSigner(host, timeKey)),
      witnessKey: verifierKey(createWitnessSigner(host, witnessKey)),
    },
    "the hub's anchors",
    "config.invalid",
  );

  await makeStateDirectory(state);
  // [STA-41] Two at once would mix their keys.
  const lock = await lockState(state);
  try {
    expectNoHub(state);
    await writeStateFile(state, STATE_FILES.authorityKey, authority.keyPem, ops);
    await writeStateFile(state, STATE_FILES.authority, authority.certificatePem, ops);
    await writeStateFile(state, STATE_FILES.serverKey, server.keyPem, ops);
    await writeStateFile(state, STATE_FILES.server, server.certificatePem, ops);
    await writeStateFile(state, STATE_FILES.timeKey, timeKey, ops);
    await writeStateFile(state, STATE_FILES.witnessKey, witnessKey, ops);
    await writeStateFile(state, STATE_FILES.settings, formatSettings(settings), ops);
    await writeStateFile(state, STATE_FILES.anchors, `${JSON.stringify(anchors, undefined, 2)}\n`, ops);
  } finally {
    lock.release();
  }
  return anchors;
}

function expectNoHub(state: string): void {
  if (readStateFile(state, STATE_FILES.anchors) === undefined) return;
  throw new Fault(
    "hub.already-initialised",
    `make a hub in "${state}": there is one already; choose another directory, or move that one away`,
  );
}

/**
 * [ID-24] A life that a running hub is given is held to the bounds of what `init` writes down.
 * @param minMs undefined for the shortest life that devices can renew in time.
 * @throws Fault `config.invalid`.
 */
export function checkCertificateLife(lifeMs: number | undefined, minMs = CERTIFICATE_LIFE_MS_MIN): void {
  if (lifeMs === undefined || (lifeMs >= minMs && minMs < CERTIFICATE_LIFE_MS_MIN)) return;
  check(settingsSchema.entries.certificateLifeMs, lifeMs, "the certificate life", "config.invalid");
}

/**
 * [ID-93] The address of the list in certificates: what a URI there can hold, and no more.
 * @throws Fault `config.invalid`.
 */
export function checkCrlUrl(url: string | undefined): void {
  if (url === undefined) return;
  const isUrl = /^https?:\/\/[!-~]+$/u.test(url) && url.length <= CRL_URL_CHARACTERS_MAX && URL.canParse(url);
  if (!isUrl)
    throw new Fault(
      "config.invalid",
      `the address of the list of revoked certificates is ${quoted(url)}: expected http:// or https:// and visible ASCII, at most ${CRL_URL_CHARACTERS_MAX} characters`,
    );
}
