// The settlement of the device id between the hardware and the birth record. Pure. [ID-3] [ID-6]
// [ID-96]
import { Fault } from "../../hal/fault.ts";
import { type BirthRecord, boardText, type DeviceIdentity, type HardwareFacts } from "../../hal/format/identity.ts";
import { boardOf, isNamed, isOtherBoard } from "./board.ts";
import { chooseIdentity } from "./choose.ts";

export interface SettledIdentity {
  readonly identity: DeviceIdentity;
  /**
   * `identity.other-board` on another board than that of the birth; `identity.changed` when the
   * hardware would now give another id, `identity.no-source` when it would give none.
   */
  readonly trouble: Fault | undefined;
}

/**
 * [ID-6] The id of the birth record holds, because the certificate, the name of the audit log and
 * the hub's approval are bound to it. A replaced board or network card must not make a second
 * identity without anyone's decision: the change is reported, and the owner's reset is the way to a
 * new identity.
 *
 * [ID-96] A disk on another board keeps its id too, and leaves the tunnel to the board that it was
 * born on until the hub's operator has decided, or the owner has named this board.
 * @param admitted serial or MAC of the board to which the owner has moved the disk.
 * @throws Fault `identity.no-source` with neither a usable source nor a birth record. [ID-3]
 */
export function settleIdentity(facts: HardwareFacts, birth: BirthRecord | undefined, admitted?: string): SettledIdentity {
  if (birth === undefined) return { identity: chooseIdentity(facts), trouble: undefined };
  const born = { id: birth.id, source: birth.source };
  const read = tryChoose(facts);
  if (read instanceof Fault) return { identity: { ...born, macs: [] }, trouble: read };
  const identity = { ...read, ...born };
  const found = boardOf(read);
  if (birth.board !== undefined && isOtherBoard(birth.board, found) && !isNamed(found, admitted))
    return {
      identity,
      trouble: new Fault(
        "identity.other-board",
        `the disk of "${birth.id}" is in another board: born on ${boardText(birth.board)}; this is ${boardText(found)}; ` +
          "the tunnel is left to the first board; put the disk back, or let this board in at the hub: sallyport-hub devices board " +
          birth.id,
      ),
    };
  if (read.id === birth.id) return { identity, trouble: undefined };
  return {
    identity,
    trouble: new Fault(
      "identity.changed",
      `the hardware gives the id "${read.id}" (${read.source}), the device was born as "${birth.id}" (${birth.source}) and keeps that id; ` +
        (read.source === "commissioned"
          ? "an id that is given at commissioning counts at the birth only"
          : "a replaced part is fine, a disk from another board belongs back in that board"),
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
