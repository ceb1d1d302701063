// The state machine of a factory reset: ordered -> told -> chip handed back -> marked -> restarted
// -> wiped, or given up. Pure: time and the machine arrive in events, effects leave as data.
// [ID-58]
import type { FaultCode } from "../../hal/fault.ts";
import { BOOTS_MAX, RELEASE_TRIES_MAX, RESTART_AGAIN_MS, RETRY_MS } from "./limits.ts";
import type { ChipOutcome, ResetOrder, ResetRecord } from "./record.ts";

/** What the wipe did, as its script says it. */
export interface Wiped {
  /** Files that could not be removed; undefined where the script's words cannot be read. */
  readonly left: number | undefined;
  /** What became of the blocks that were freed. */
  readonly free: "discarded" | "overwritten" | "untouched" | "unknown";
}

/** How a reset ended. `notWiped` says why nothing was wiped. */
export type Outcome = { readonly wiped: Wiped } | { readonly notWiped: string };

interface UnderWay {
  readonly order: ResetOrder;
  readonly chip: ChipOutcome | undefined;
}

export type State =
  | { readonly at: "idle" }
  /** The order is being recorded; only now can it still be refused. */
  | { readonly at: "beginning"; readonly order: ResetOrder }
  /** The trail gets its record, and the hub is given time to witness it. */
  | { readonly at: "telling"; readonly order: ResetOrder }
  | { readonly at: "releasing"; readonly order: ResetOrder; readonly tries: number }
  | ({ readonly at: "released" } & UnderWay)
  /** The marker for the wipe is being written. */
  | ({ readonly at: "marking" } & UnderWay)
  | ({ readonly at: "marked"; readonly boots: number } & UnderWay)
  | ({ readonly at: "restarting" } & UnderWay)
  | {
      readonly at: "ending";
      readonly order: ResetOrder | undefined;
      readonly chip: ChipOutcome | undefined;
      readonly outcome: Outcome;
    }
  | { readonly at: "waiting"; readonly forMs: number; readonly next: State };

export type Event =
  | { readonly kind: "ordered"; readonly order: ResetOrder }
  /** The effect was carried out; the wait is over. */
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly code: FaultCode }
  /** There is no chip, or none that is this device's. */
  | { readonly kind: "no-chip" };

export type Effect =
  | { readonly do: "record"; readonly record: Omit<ResetRecord, "v" | "bootId"> }
  | { readonly do: "tell"; readonly order: ResetOrder }
  | { readonly do: "release" }
  | { readonly do: "mark" }
  | { readonly do: "restart"; readonly by: string }
  | {
      readonly do: "end";
      readonly order: ResetOrder | undefined;
      readonly chip: ChipOutcome | undefined;
      readonly outcome: Outcome;
    }
  | { readonly do: "wait"; readonly forMs: number };

/** A step has at most one effect, and the event of its outcome comes before any other. */
export interface Step {
  readonly state: State;
  readonly effect: Effect | undefined;
}

/** What a warden finds at its start. */
export interface Found {
  readonly record: ResetRecord | undefined;
  /** Whether the marker is still there: the wipe did not run before this start. */
  readonly marker: boolean;
  /** What the script left when it had wiped. */
  readonly wiped: Wiped | undefined;
  readonly bootId: string;
}

/** [ID-58] Goes on where a power cut or a restart interrupted it. */
export function start({ record, marker, wiped, bootId }: Found): Step {
  const { order, chip } = record ?? {};
  const end = (outcome: Outcome): Step => enter({ at: "ending", order, chip, outcome });
  if (wiped !== undefined) return end({ wiped });
  if (record === undefined || order === undefined)
    return marker ? end({ notWiped: "nothing runs the wipe on this system, and no order asks for it" }) : enter({ at: "idle" });
  if (record.at === "ordered") return enter({ at: "telling", order });
  if (record.at === "released") return enter({ at: "marking", order, chip });
  if (!marker) return end({ notWiped: "its marker was taken away" });
  if (record.bootId === bootId) return enter({ at: "restarting", order, chip });
  const boots = (record.boots ?? 0) + 1;
  if (boots >= BOOTS_MAX) return end({ notWiped: `nothing wiped the data in ${boots} boots; does sallyport-reset.service run?` });
  return enter({ at: "marked", order, chip, boots });
}

/** Never throws: an event that makes no sense in `state` changes nothing. */
export function next(state: State, event: Event): Step {
  switch (event.kind) {
    case "ordered":
      return state.at === "idle" ? enter({ at: "beginning", order: event.order }) : { state, effect: undefined };
    case "done":
      return enter(afterDone(state));
    case "failed":
      return enter(afterFailed(state, event.code));
    case "no-chip":
      return state.at === "releasing"
        ? enter({ at: "released", order: state.order, chip: undefined })
        : { state, effect: undefined };
  }
}

function afterDone(state: State): State {
  switch (state.at) {
    case "beginning":
      return { at: "telling", order: state.order };
    case "telling":
      return { at: "releasing", order: state.order, tries: 1 };
    case "releasing":
      return { at: "released", order: state.order, chip: { handedBack: true } };
    case "released":
      return { at: "marking", order: state.order, chip: state.chip };
    case "marking":
      return { at: "marked", order: state.order, chip: state.chip, boots: 0 };
    case "marked":
      return { at: "restarting", order: state.order, chip: state.chip };
    case "restarting":
      return { at: "waiting", forMs: RESTART_AGAIN_MS, next: state };
    case "waiting":
      return state.next;
    case "ending":
    case "idle":
      return { at: "idle" };
  }
}

/** Waiting does not help against these: another owner has the chip, or there is no chip. */
const FINAL: readonly FaultCode[] = ["tpm.missing", "tpm.owned-by-others"];

function afterFailed(state: State, code: FaultCode): State {
  switch (state.at) {
    case "idle":
    case "beginning": // the order is refused, and nothing has changed
      return { at: "idle" };
    case "releasing":
      if (FINAL.includes(code) || state.tries >= RELEASE_TRIES_MAX)
        return { at: "released", order: state.order, chip: { handedBack: false, code } };
      return { at: "waiting", forMs: RETRY_MS, next: { ...state, tries: state.tries + 1 } };
    default:
      return { at: "waiting", forMs: RETRY_MS, next: state };
  }
}

function enter(state: State): Step {
  return { state, effect: effectOf(state) };
}

function effectOf(state: State): Effect | undefined {
  switch (state.at) {
    case "idle":
      return undefined;
    case "beginning":
      return { do: "record", record: { at: "ordered", order: state.order } };
    case "telling":
      return { do: "tell", order: state.order };
    case "releasing":
      return { do: "release" };
    case "released":
      return { do: "record", record: { at: "released", ...underWay(state) } };
    case "marking":
      return { do: "mark" };
    case "marked":
      return { do: "record", record: { at: "marked", ...underWay(state), boots: state.boots } };
    case "restarting":
      return { do: "restart", by: state.order.by };
    case "ending": {
      const { order, chip, outcome } = state;
      return { do: "end", order, chip, outcome };
    }
    case "waiting":
      return { do: "wait", forMs: state.forMs };
  }
}

function underWay({ order, chip }: UnderWay): Pick<ResetRecord, "order" | "chip"> {
  return { order, ...(chip === undefined ? {} : { chip }) };
}
