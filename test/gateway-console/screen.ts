// What the serial line says, as our user's terminal may show it. Firmware clears screens, moves cursors and changes fonts on the way: all of that is left out,
// so that what was on the screen stays, and a gateway can do nothing to the terminal of who looks at it.
import { StringDecoder } from "node:string_decoder";

export interface Screen {
  /** @returns what to print. */
  readonly show: (bytes: Buffer) => string;
  /** The line that has not ended, such as a prompt with what was typed after it. */
  readonly unfinished: () => string;
  /** Whoever spoke is gone, in the middle of whatever it was. @returns what to print: the end of the line it left. */
  readonly forget: () => string;
}

type Inside = "text" | "escape" | "charset" | "control" | "string" | "string-escape";

const ESC = "\u001B";
const BELL = "\u0007";
const UNFINISHED_CHARACTERS_MAX = 4096;

export function screen(): Screen {
  const decoder = new StringDecoder("utf8");
  let inside: Inside = "text";
  let line = "";

  const text = (character: string): string => {
    if (character === ESC) inside = "escape";
    else if (character === "\n") line = "";
    else if (character === "\b") line = line.slice(0, -1);
    else if (isPrintable(character)) line = (line + character).slice(-UNFINISHED_CHARACTERS_MAX);
    else if (character !== "\r" && character !== "\t" && character !== BELL) return "";
    return character === ESC ? "" : character;
  };
  /** A screen that is cleared, or begun again at its top, is here a new line. */
  const jump = (): string => {
    if (line === "") return "";
    line = "";
    return "\r\n";
  };

  const take = (character: string): string => {
    switch (inside) {
      case "text":
        return text(character);
      case "escape":
        inside = afterEscape(character);
        return "";
      case "control": // ECMA-48 5.4: parameters, then one final byte
        if (character < "@" || character > "~") return "";
        inside = "text";
        return character === "J" || character === "H" ? jump() : "";
      case "charset":
        inside = "text";
        return "";
      case "string": // ends with BEL or ESC \
        if (character === BELL) inside = "text";
        else if (character === ESC) inside = "string-escape";
        return "";
      case "string-escape":
        inside = character === "\\" ? "text" : "string";
        return "";
    }
  };
  return {
    show: (bytes) => Array.from(decoder.write(bytes), take).join(""),
    unfinished: () => line,
    forget() {
      inside = "text";
      decoder.end();
      return jump();
    },
  };
}

function afterEscape(character: string): Inside {
  if (character === "[") return "control";
  if (character === "(" || character === ")" || character === "#") return "charset";
  return "]PX^_".includes(character) ? "string" : "text";
}

/** Not C0, DEL, C1, nor what turns the direction of writing. */
function isPrintable(character: string): boolean {
  return !/[\u0000-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/u.test(character);
}
