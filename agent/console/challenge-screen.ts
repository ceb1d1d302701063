// The console's texts about challenges and answers. Pure, ASCII. [CON-11] [CON-4]
import type { FaultCode } from "../../hal/fault.ts";
import type { Challenge } from "../../warden/orders/format/index.ts";
import { renderChallenge } from "../status/index.ts";
import { seconds } from "./screen.ts";

export const ANSWER_PROMPT = "answer> ";

export function challengeScreen(challenge: Challenge): string {
  return [
    `${renderChallenge(challenge)}It prints one line. Paste that line here and press Enter; ^C gives up.`,
    "(Is the command cut off at the edge? Turn on line wrap: in minicom ^A W.)",
    "",
    "",
  ].join("\n");
}

export function noAnswerYetText(): string {
  return "Paste the line that sallyport-hub answer printed and press Enter; ^C gives up.\n";
}

export function gaveUpText(): string {
  return "Given up.\n";
}

export function tooEarlyText(waitMs: number): string {
  return `Not checked: it is too early after a refused answer.\nPaste it again in ${seconds(waitMs)}; ^C gives up.\n`;
}

export function tooManyChallengesText(waitMs: number): string {
  return `Too many challenges were asked for. Try again in ${seconds(waitMs)}.\n`;
}

export function namelessText(): string {
  return 'This device does not know its id yet, so nobody can log in.\nLook at "status" and try again.\n';
}

/** For a fault of the warden that is no verdict on the answer. */
export function unjudgedText(code: FaultCode): string {
  return `${code}: this device cannot check a login now.\nThis was not counted as a refused answer. Try again in a minute;\n"status" may say why.\n`;
}

/** The faults that refuse an answer. `retry`: the same challenge may still be answered. */
const REFUSALS: Readonly<Partial<Record<FaultCode, { readonly retry: boolean; readonly text: (nowMs: number) => string }>>> = {
  "order.invalid": { retry: false, text: () => "the subject of the order has changed since you asked." },
  "order.bad-signature": {
    retry: true,
    text: () => "no key that this device accepts signed this challenge.\nIs it the challenge shown last, and the right key?",
  },
  "order.denied": { retry: true, text: () => "the key is known here, but its owner may not order this." },
  "order.expired": {
    retry: true,
    text: (nowMs) =>
      `the answer has expired: the time here is ${new Date(nowMs).toISOString().slice(0, 19)}Z.\nMake a new one; with --hold 3600s if the two clocks differ.`,
  },
  "order.replayed": { retry: false, text: () => "this challenge was answered before or is too old." },
  "order.unsupported": { retry: false, text: () => "this device cannot do that." },
};

export interface Refusal {
  readonly text: string;
  readonly retry: boolean;
}

/**
 * @returns the refusal of an answer; undefined when `code` is no verdict on an answer. The warden's
 *   message is not part of it, because before login nobody may read that.
 */
export function refusalOf(code: FaultCode, nowMs: number): Refusal | undefined {
  const known = REFUSALS[code];
  return known === undefined ? undefined : { text: `${code}: ${known.text(nowMs)}\n`, retry: known.retry };
}

/** For a line that does not have the form of an answer. The warden never sees it. */
export const NO_ANSWER: Refusal = {
  text: "order.invalid: that is no answer.\nAn answer is one line without spaces: KEYID.SECONDS.SIGNATURE.\n",
  retry: true,
};

export function nextAnswerText(waitMs: number): string {
  return `The next answer is accepted in ${seconds(waitMs)}; ^C gives up.\n`;
}

export function newChallengeText(command: string): string {
  return `Type "${command}" for a new challenge.\n`;
}
