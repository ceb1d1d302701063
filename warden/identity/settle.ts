// The settlement of the device id between the hardware and the birth record. Pure. [ID-3] [ID-6]
import { Fault } from "../../hal/fault.ts";
import type { BirthRecord, DeviceIdentity, HardwareFacts } from "../../hal/format/identity.ts";
import { chooseIdentity } from "./choose.ts";

export interface SettledIdentity {
  readonly identity: DeviceIdentity;
  /**
   * `identity.changed` when the hardware would now give another id, `identity.no-source` when it
   * would give none. It is reported, and has no other effect.
   */
  readonly trouble: Fault | undefined;
}

/**
 * [ID-6] The id of the birth record holds, because the certificate, the name of the audit log and
 * the hub's approval are bound to it. A replaced board or network card must not make a second
 * identity without anyone's decision: the change is reported, and the owner's reset is the way to a
 * new identity.
 *
 * A disk that was moved to another board therefore keeps its id too. There the key is missing (TPM)
 * or the hub sees one id twice [TUN-5], and `identity.changed` is in the trail.
 * @throws Fault `identity.no-source` with neither a usable source nor a birth record. [ID-3]
 */
export function settleIdentity(facts: HardwareFacts, birth: BirthRecord | undefined): SettledIdentity {
  if (birth === undefined) return { identity: chooseIdentity(facts), trouble: undefined };
  const born = { id: birth.id, source: birth.source };
  const read = tryChoose(facts);
  if (read instanceof Fault) return { identity: { ...born, macs: [] }, trouble: read };
  const identity = { ...read, ...born };
  if (read.id === birth.id) return { identity, trouble: undefined };
  return {
    identity,
    trouble: new Fault(
      "identity.changed",
      `the hardware gives the id "${read.id}" (${read.source}), the device was born as "${birth.id}" (${birth.source}) and keeps that id; ` +
        "a replaced part is fine, a disk from another board belongs back in that board",
    ),
  };
}

function tryChoose(facts: HardwareFacts): DeviceIdentity | Fault {
  try {
    return chooseIdentity(facts);
  } catch (error) {
    if (error instanceof Fault && error.code === "identity.no-source") return error;
    throw error;
  }
}
