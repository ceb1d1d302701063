// Boards, as their requests and notices describe them, in words for operators. [ID-95] [ID-97]
import { Fault } from "../../hal/fault.ts";
import { type Board, boardText, type DeviceId } from "../../hal/format/identity.ts";
import { macUrn } from "../../provisioning/x509/format/index.ts";
import { type Device, type OtherBoard, retryOnConflict } from "../store/index.ts";
import type { DecisionContext } from "./context.ts";

/** What a request says of its board. */
export type Described = Pick<Device, "id" | "serialNumber" | "uris">;

const MAC_URN = /^urn:dev:mac:([0-9a-f]{6})fffe([0-9a-f]{6})$/u;
/** A request has at most 20 names, so few are left out. */
const MACS_SHOWN_MAX = 16;

export function boardOf({ serialNumber, uris }: Pick<Described, "serialNumber" | "uris">): Board {
  const macs = uris.flatMap((uri) => {
    const [, maker, own] = MAC_URN.exec(uri) ?? [];
    return maker === undefined || own === undefined ? [] : [`${maker}${own}`.replaceAll(/(..)(?=.)/gu, "$1:")];
  });
  return { ...(serialNumber === undefined ? {} : { serial: serialNumber }), macs: macs.slice(0, MACS_SHOWN_MAX) };
}

/** [ID-94] Whether the id is nothing but a MAC, which other boards may have too. */
export function isMacAlone({ id, serialNumber, uris }: Described): boolean {
  if (serialNumber !== undefined || !/^[0-9a-f]{12}$/u.test(id)) return false;
  return uris.includes(macUrn(id.replaceAll(/(..)(?=.)/gu, "$1:")));
}

/**
 * [ID-95] Whether two requests with one id are of two boards: their serials differ, or both have
 * MACs and none in common. A board that says less than that may be the same one.
 */
export function areTwoBoards(one: Described, other: Described): boolean {
  const [a, b] = [boardOf(one), boardOf(other)];
  if (a.serial !== undefined && b.serial !== undefined && a.serial !== b.serial) return true;
  return a.macs.length > 0 && b.macs.length > 0 && !a.macs.some((mac) => b.macs.includes(mac));
}

/**
 * [ID-95] What is said of two requests with one id, unless a MAC that both have makes it one board.
 * @returns undefined then.
 */
export function claimOf(one: Described, other: Described): "two boards claim" | "two boards may claim" | undefined {
  if (areTwoBoards(one, other)) return "two boards claim";
  const { macs } = boardOf(other);
  return boardOf(one).macs.some((mac) => macs.includes(mac)) ? undefined : "two boards may claim";
}

/**
 * [ID-97] Whether a board is the one that was let in, though cards came, went or changed places. A
 * board that was let in without a serial is known by a MAC.
 */
export function isLetIn(admitted: Board | undefined, found: Board): boolean {
  if (admitted === undefined) return false;
  if (admitted.serial !== undefined && found.serial !== undefined) return admitted.serial === found.serial;
  return found.macs.some((mac) => admitted.macs.includes(mac));
}

/** [ID-95] How one of two boards gets an id of its own; docs/operations.md says it step by step. */
export const OWN_ID =
  "give one of them an id of its own: write it into the file device-id beside its birth record when its disk is written";

/**
 * [ID-97] Lets in the board that the device has told last.
 * @throws Fault `hub.device-unknown` for a device that has told of none.
 */
export function admitBoard({ store }: DecisionContext, id: DeviceId, by: string): Promise<OtherBoard> {
  return retryOnConflict(async () => {
    const told = await otherBoard({ store }, id);
    const detail = { found: boardText(told.found), by };
    await store.commit(store.boards.admit(id, told.found), store.journal.entry("device.board-admitted", id, detail, Date.now()));
    return told;
  });
}

/** @throws Fault `hub.device-unknown` for a device that has told of none. */
export async function otherBoard({ store }: DecisionContext, id: DeviceId): Promise<OtherBoard> {
  const told = await store.boards.find(id);
  if (told !== undefined) return told;
  throw new Fault("hub.device-unknown", `"${id}" has told of no other board; run sallyport-hub alerts to see what devices told`);
}
