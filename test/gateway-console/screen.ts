// The text of the serial line without control sequences. Firmware clears the screen, moves the
// cursor and changes fonts; all of that is left out, so that the screen keeps its content and a
// gateway can do nothing to the user's terminal.
import { StringDecoder } from "node:string_decoder";

export interface Screen {
  /** @returns the text to print. */
  readonly show: (bytes: Buffer) => string;
  /** The unfinished line, for instance a prompt with the text typed after it. */
  readonly unfinished: () => string;
  /**
   * The gateway went off, perhaps in the middle of a sequence.
   * @returns the text to print: the end of the unfinished line.
   */
  readonly forget: () => string;
}

type Inside = "text" | "escape" | "charset" | "control" | "string" | "string-escape";

const ESC = "\u001B";
const BELL = "\u0007";
const UNFINISHED_CHARACTERS_MAX = 4096;

export function createScreen(): Screen {
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
  /** Clearing the screen and moving to its top become a new line. */
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

/** Not C0, DEL, C1, nor a character that changes the direction of writing. */
function isPrintable(character: string): boolean {
  return !/[\u0000-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/u.test(character);
}
