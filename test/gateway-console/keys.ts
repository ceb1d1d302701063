// What was typed at our terminal: for the gateway's serial line, or, after Ctrl-], for us. Pure; as picocom and QEMU have it.

export const ESCAPE_KEY = 0x1d;

export type Command =
  | Ours
  | { readonly does: "stick-in" | "stick-out" | "keyboard" | "hub" | "overview" | "answer" }
  | { readonly does: "cut"; readonly loss: "drop" | "tear" }
  | { readonly does: "update"; readonly to: "good" | "broken" | "next" };

/** What needs neither gateway nor hub. */
export type Ours = { readonly does: "help" } | { readonly does: "quit" } | { readonly does: "log" };

export type KeyEvent =
  | { readonly kind: "type"; readonly bytes: Buffer }
  | { readonly kind: "command"; readonly command: Command }
  /** To be shown: which keys may follow. */
  | { readonly kind: "question"; readonly text: string }
  | { readonly kind: "unknown"; readonly key: string };

/** What the next key is for: the serial line, us, or the question how to cut. */
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
  "cut the power now? d: what the disk had not flushed is lost, t: some of it is torn; any other key: leave it on";

export const KEYS_HELP = [
  "Ctrl-] and then",
  "  s  how it stands: the device and its update, as the hub knows them",
  "  c  cut the power and switch on again",
  "  1  update to release 2.0.0, a good one",
  "  2  update to release 3.0.0, whose agent is broken: it is rolled back",
  "  3  update to release 4.0.0, a good one",
  "  p  plug a USB stick in    u  pull it out    k  plug a keyboard in, or pull it out",
  "  h  the hub goes away, or comes back",
  "  a  answer the login's challenge with the technician's key, as in another terminal",
  "  l  what kernel and systemd said",
  "  ?  this list    q  end it all    Ctrl-]  send Ctrl-] itself",
].join("\n");

/** @returns what `bytes` mean, in order; what goes to the line next to each other is one event. */
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
  return { state: "line", event: state === "cut" ? { kind: "question", text: "left on" } : { kind: "unknown", key } };
}

/** Who still holds Ctrl down means the letter. */
function keyOf(byte: number): string {
  if (byte >= 0x01 && byte <= 0x1a) return String.fromCharCode(byte + 0x60);
  return byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte).toLowerCase() : "";
}
