// Keys of the user's terminal: they go to the gateway's serial line or, after Ctrl-], to this
// program, as in picocom and QEMU. Pure.

export const ESCAPE_KEY = 0x1d;

export type Command =
  | ProgramCommand
  | { readonly does: "stick-in" | "stick-out" | "keyboard" | "hub" | "overview" | "answer" }
  | { readonly does: "cut"; readonly loss: "drop" | "tear" }
  | { readonly does: "update"; readonly to: "good" | "broken" | "next" };

/** Commands that need neither gateway nor hub. */
export type ProgramCommand = { readonly does: "help" } | { readonly does: "quit" } | { readonly does: "log" };

export type KeyEvent =
  | { readonly kind: "type"; readonly bytes: Buffer }
  | { readonly kind: "command"; readonly command: Command }
  /** Shown to the user: which keys may follow. */
  | { readonly kind: "question"; readonly text: string }
  | { readonly kind: "unknown"; readonly key: string };

/** Where the next key goes: to the serial line, to this program, or to the question how to cut. */
export type KeyState = "line" | "escape" | "cut";

const COMMANDS: Readonly<Record<string, Command>> = {
  "?": { does: "help" },
  q: { does: "quit" },
  p: { does: "stick-in" },
  u: { does: "stick-out" },
  k: { does: "keyboard" },
  h: { does: "hub" },
  l: { does: "log" },
  s: { does: "overview" },
  a: { does: "answer" },
  "1": { does: "update", to: "good" },
  "2": { does: "update", to: "broken" },
  "3": { does: "update", to: "next" },
};

const LOSSES: Readonly<Record<string, Command>> = { d: { does: "cut", loss: "drop" }, t: { does: "cut", loss: "tear" } };

export const CUT_QUESTION =
  "cut the power now? d: lose all unflushed writes, t: tear some of them; any other key: leave the power on";

export const KEYS_HELP = [
  "Ctrl-] and then",
  "  s  show the device and its update, as the hub knows them",
  "  c  cut the power and switch on again",
  "  1  update to release 2.0.0, which works",
  "  2  update to release 3.0.0, whose agent is broken: the update is rolled back",
  "  3  update to release 4.0.0, which works",
  "  p  plug in a USB stick    u  pull it out    k  plug in a keyboard, or pull it out",
  "  h  stop the hub, or start it again",
  "  a  answer the challenge of the login with the technician's key",
  "  l  show the log of the kernel and of systemd",
  "  ?  this list    q  end the program    Ctrl-]  send Ctrl-] itself",
].join("\n");

/** @returns the meaning of `bytes`, in order. Adjacent keys for the serial line are one event. */
export function readKeys(start: KeyState, bytes: Uint8Array): { readonly state: KeyState; readonly events: readonly KeyEvent[] } {
  const events: KeyEvent[] = [];
  const typed: number[] = [];
  const flush = (): void => {
    if (typed.length > 0) events.push({ kind: "type", bytes: Buffer.from(typed.splice(0)) });
  };
  let state = start;
  for (const byte of bytes) {
    const step = readKey(state, byte);
    state = step.state;
    if (step.typed) typed.push(byte);
    if (step.event === undefined) continue;
    flush();
    events.push(step.event);
  }
  flush();
  return { state, events };
}

interface Step {
  readonly state: KeyState;
  readonly typed?: true;
  readonly event?: KeyEvent;
}

function readKey(state: KeyState, byte: number): Step {
  if (state === "line") return byte === ESCAPE_KEY ? { state: "escape" } : { state, typed: true };
  if (state === "escape" && byte === ESCAPE_KEY) return { state: "line", typed: true };
  const key = keyOf(byte);
  if (state === "escape" && key === "c") return { state: "cut", event: { kind: "question", text: CUT_QUESTION } };
  const command = (state === "cut" ? LOSSES : COMMANDS)[key];
  if (command !== undefined) return { state: "line", event: { kind: "command", command } };
  return { state: "line", event: state === "cut" ? { kind: "question", text: "the power stays on" } : { kind: "unknown", key } };
}

/** A user who still holds Ctrl down means the letter. */
function keyOf(byte: number): string {
  if (byte >= 0x01 && byte <= 0x1a) return String.fromCharCode(byte + 0x60);
  return byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte).toLowerCase() : "";
}
