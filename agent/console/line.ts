// The line editor of the console: from bytes to lines, and the echo for the terminal. Pure. [CON-1]
import { LINE_BYTES_MAX } from "./limits.ts";

export interface LineState {
  /** The text typed so far, printable ASCII; empty while the rest of a long line is skipped. */
  readonly text: string;
  readonly tooLong: boolean;
  /** The place in an escape sequence, such as an arrow key. It is neither text nor echoed. */
  readonly escape: "none" | "begun" | "sequence";
  /** The last byte was CR. An LF after it belongs to it: CR, LF and CR LF each end one line. */
  readonly afterReturn: boolean;
}

export type LineEvent =
  | { readonly kind: "echo"; readonly text: string }
  | { readonly kind: "line"; readonly text: string }
  | { readonly kind: "too-long" }
  | { readonly kind: "interrupt" }
  | { readonly kind: "redraw"; readonly text: string };

export const EMPTY_LINE: LineState = { text: "", tooLong: false, escape: "none", afterReturn: false };

const CTRL_C = 0x03;
const BACKSPACE = 0x08;
const LINE_FEED = 0x0a;
const CTRL_L = 0x0c;
const RETURN = 0x0d;
const CTRL_U = 0x15;
const ESCAPE = 0x1b;
const DELETE = 0x7f;
const BELL = "\u0007";
const RUB_OUT = "\b \b";

interface Step {
  readonly state: LineState;
  readonly event?: LineEvent;
}

/**
 * @returns the state after `bytes`, and the events in order, with adjacent echoes joined. Memory is
 *   bounded by the size of `bytes` and one line.
 */
export function readBytes(
  start: LineState,
  bytes: Uint8Array,
): { readonly state: LineState; readonly events: readonly LineEvent[] } {
  const events: LineEvent[] = [];
  let state = start;
  for (const byte of bytes) {
    const step = readByte(state, byte);
    state = step.state;
    const last = events.at(-1);
    if (step.event?.kind === "echo" && last?.kind === "echo")
      events[events.length - 1] = { kind: "echo", text: last.text + step.event.text };
    else if (step.event !== undefined) events.push(step.event);
  }
  return { state, events };
}

function readByte(state: LineState, byte: number): Step {
  if (byte === LINE_FEED && state.afterReturn) return { state: { ...state, afterReturn: false } };
  const next = { ...state, afterReturn: byte === RETURN };
  // A control byte ends an escape sequence, so that no sequence can hide a line end.
  if (byte < 0x20 || byte === DELETE) return control({ ...next, escape: "none" }, byte);
  if (next.escape !== "none") return { state: { ...next, escape: inEscape(next.escape, byte) } };
  return typed(next, byte);
}

function control(state: LineState, byte: number): Step {
  switch (byte) {
    case RETURN:
    case LINE_FEED: {
      const empty = { ...EMPTY_LINE, afterReturn: state.afterReturn };
      return { state: empty, event: state.tooLong ? { kind: "too-long" } : { kind: "line", text: state.text } };
    }
    case BACKSPACE:
    case DELETE:
      if (state.text === "") return { state };
      return { state: { ...state, text: state.text.slice(0, -1) }, event: { kind: "echo", text: RUB_OUT } };
    case CTRL_U:
      return { state: { ...state, text: "", tooLong: false }, event: { kind: "echo", text: RUB_OUT.repeat(state.text.length) } };
    case CTRL_C:
      return { state: EMPTY_LINE, event: { kind: "interrupt" } };
    case CTRL_L:
      return { state, event: { kind: "redraw", text: state.text } };
    case ESCAPE:
      return { state: { ...state, escape: "begun" } };
    default:
      return { state };
  }
}

/** ECMA-48 5.4: CSI, parameters, then one final byte from "@" to "~". Keypads send ESC O. */
function inEscape(escape: "begun" | "sequence", byte: number): LineState["escape"] {
  if (escape === "begun") return byte === 0x5b || byte === 0x4f ? "sequence" : "none";
  return byte >= 0x40 && byte <= 0x7e ? "none" : "sequence";
}

/** A byte that is not ASCII becomes "?", so that no command runs with the byte left out. */
function typed(state: LineState, byte: number): Step {
  if (state.tooLong) return { state };
  if (state.text.length >= LINE_BYTES_MAX)
    return { state: { ...state, text: "", tooLong: true }, event: { kind: "echo", text: BELL } };
  const character = byte < 0x7f ? String.fromCharCode(byte) : "?";
  return { state: { ...state, text: state.text + character }, event: { kind: "echo", text: character } };
}
