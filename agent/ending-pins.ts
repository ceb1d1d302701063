// Pins that come to their end. OpenSSL judges the dates of a pin too, so when the last one of a
// service has ended, the device cannot prove that service any more. [ID-86]
import type { FaultReport } from "../hal/format/fault.ts";
import { readPins } from "../hal/format/pins.ts";
import { type HubAnchors, hubServices } from "../ota/format/anchors.ts";
import type { ClockState } from "../warden/time/format.ts";

const DAY_MS = 86_400_000;
/** Time to make an image and to bring it to a fleet. */
export const PIN_ENDING_MS = 180 * DAY_MS;

/**
 * @param clock undefined while the warden does not answer.
 * @returns one fault for each list of pins of which none lasts; none while the time is not known.
 */
export function endingPins(anchors: HubAnchors, clock: ClockState | undefined): readonly FaultReport[] {
  if (clock === undefined || clock.state === "unset") return [];
  const services = new Map<string, string[]>();
  for (const [name, place] of Object.entries({ ...hubServices(anchors) }))
    if (place !== undefined) services.set(place.authority, [...(services.get(place.authority) ?? []), name]);
  return [...services].flatMap(([authority, names]): FaultReport[] => {
    const lastMs = Math.max(...readPins(authority).map((pin) => pin.validToDate.getTime()));
    if (lastMs - clock.nowMs > PIN_ENDING_MS) return [];
    const when = `${lastMs > clock.nowMs ? "ends" : "has ended"} at ${new Date(lastMs).toISOString()}`;
    const message = `the last pinned authority of ${names.join(", ")} ${when}, and without one nothing there is proven; bring an image whose hub.json has its successor too`;
    return [{ code: "tls.pin-ending", message }];
  });
}
