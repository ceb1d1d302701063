// Verification of the hub's answer to a nonce, before a clock is touched. Pure. [ID-10]
import { verify } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { type HubTimeResponse, hubTimeSignedText } from "../../ota/format/time.ts";
import { ed25519KeyObject, type Verifier } from "../audit/format/index.ts";
import { type ClockBounds, isPlausible } from "./bounds.ts";

/**
 * [ID-10] The time in `response` in Unix milliseconds, once device, signature and bounds are
 * checked. The caller must consume the nonce.
 * @throws Fault `time.bad-signature`, `time.out-of-range`.
 */
export function verifiedTime(
  response: HubTimeResponse,
  deviceId: DeviceId,
  timeKey: Verifier | undefined,
  bounds: ClockBounds,
): number {
  if (timeKey === undefined)
    throw new Fault(
      "time.bad-signature",
      "hub time refused: this device has no hub anchors, so there is no key to verify it with",
    );
  if (response.deviceId !== deviceId)
    throw new Fault(
      "time.bad-signature",
      `hub time refused: it was signed for "${response.deviceId}", this device is "${deviceId}"`,
    );
  const key = ed25519KeyObject(timeKey.publicKey);
  if (!verify(null, Buffer.from(hubTimeSignedText(response)), key, Buffer.from(response.signature, "base64")))
    throw new Fault("time.bad-signature", `hub time refused: the signature is not that of "${timeKey.name}"`);
  const unixMs = Date.parse(response.time);
  if (!isPlausible(unixMs, bounds)) {
    throw new Fault(
      "time.out-of-range",
      `hub time refused: ${response.time} is not between ${new Date(bounds.floorMs).toISOString()} and ${new Date(bounds.ceilingMs).toISOString()}`,
    );
  }
  return unixMs;
}
