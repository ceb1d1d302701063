// What is said in answer to each line of a session: as a guest, then as whoever logged in. [CON-3] [CON-4] [OPS-5]
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { OperationAnswer, OperationName } from "../operations/format.ts";
import type { ConsoleLogin } from "../operations/index.ts";
import { ANSWER_PROMPT, gaveUpText } from "./challenge-screen.ts";
import { commandOf, type ConsoleAction, mayUse, type Typed } from "./commands.ts";
import { CHALLENGE_MS_MAX, COMMAND_REFILL_MS, COMMANDS_BURST_MAX, IDLE_MS_MAX, LOGGED_IN_IDLE_MS_MAX } from "./limits.ts";
import type { LineEvent } from "./line.ts";
import { createChallengeDialog } from "./challenge.ts";
import { resultText } from "./results.ts";
import {
  alreadyText,
  faultText,
  helpText,
  logInFirstText,
  logoutText,
  promptText,
  tooLongText,
  tooManyText,
  unknownText,
  welcomeText,
} from "./screen.ts";
import type { ConsoleSessionOptions } from "./session.ts";

export interface Dialogue {
  /** Answers one thing the line reader found. @returns "over" when the session is, by `logout`. */
  take(event: LineEvent): Promise<"goes-on" | "over">;
  prompt(): string;
  login(): ConsoleLogin | undefined;
  /** How long nobody may type, milliseconds. [CON-4] */
  idleMsMax(): number;
}

/** Remembers who logged in, the challenge that waits for its answer, how fast commands come and how many there were. */
export function createDialogue(parts: ConsoleSessionOptions, session: string): Dialogue {
  const { print, operations, orders, gate, clock, host } = parts;
  const bucket = createTokenBucket(clock, COMMANDS_BURST_MAX, COMMAND_REFILL_MS);
  const ordering = createChallengeDialog({ orders, gate, clock, host, print, printFault, perform, record });
  let login: ConsoleLogin | undefined;
  let flooding = false;
  let asked = 0;

  async function record(entry: Pick<AuditEntry, "event" | "result" | "detail">): Promise<void> {
    await parts.record({ ...entry, principal: login?.id ?? "console", correlation: session });
  }

  function perform(operation: OperationName, args: Readonly<Record<string, unknown>>): Promise<OperationAnswer> {
    asked += 1;
    return operations.perform({ channel: "console", login }, { v: 1, id: `${session}-${asked}`, operation, args });
  }

  function printFault(fault: FaultReport): Promise<void> {
    const hint = fault.code === "operation.denied" && login === undefined ? logInFirstText() : "";
    return print(faultText(fault) + hint);
  }

  async function refused(reason: string): Promise<void> {
    await record({ event: "input.refused", result: "refused", detail: { channel: "console", reason } });
  }

  /** One record for a whole flood: the trail must not be what is flooded. */
  async function mayGoOn(): Promise<boolean> {
    if (bucket.take()) {
      flooding = false;
      return true;
    }
    if (!flooding) await refused("too many commands at once");
    flooding = true;
    await print(tooManyText(bucket.dueMs()));
    return false;
  }

  async function carryOut({ command, args }: Typed): Promise<"goes-on" | "over"> {
    const { does } = command;
    switch (does.kind) {
      case "help":
        await print(helpText(login));
        break;
      case "login":
        await (login === undefined ? ordering.ask(command, { kind: "login" }) : print(alreadyText(login)));
        break;
      case "logout":
        await print(logoutText(login));
        return "over";
      case "order":
        if (!mayUse(command, login?.roles)) return askFor(does, args);
        await ordering.ask(command, does);
        break;
      case "ask":
        return askFor(does, args);
    }
    return "goes-on";
  }

  /** Asks, and shows the result or the refusal: who may not is told so by the operations, and recorded there. [OPS-5] */
  async function askFor(deed: Extract<ConsoleAction, { operation: OperationName }>, args: Typed["args"]): Promise<"goes-on"> {
    const answer = await perform(deed.operation, args);
    await ("fault" in answer ? printFault(answer.fault) : print(resultText(deed, answer.result)));
    return "goes-on";
  }

  async function takeCommand(text: string): Promise<"goes-on" | "over"> {
    const typed = commandOf(text);
    if (typed === "nothing" || !(await mayGoOn())) return "goes-on";
    if (typed !== "unknown") return carryOut(typed);
    await print(unknownText(text));
    return "goes-on";
  }

  async function takeAnswer(text: string): Promise<void> {
    if (!(await mayGoOn())) return;
    const who = await ordering.take(text);
    if (who === undefined) return;
    login = who;
    await print(welcomeText(who));
  }

  async function takeLine(text: string): Promise<"goes-on" | "over"> {
    if (!ordering.pending()) return takeCommand(text);
    await takeAnswer(text);
    return "goes-on";
  }

  async function interrupt(): Promise<void> {
    if (!ordering.pending()) return;
    ordering.giveUp();
    await print(gaveUpText());
  }

  async function end(event: Exclude<LineEvent, { kind: "echo" | "redraw" }>): Promise<"goes-on" | "over"> {
    if (event.kind === "line") return takeLine(event.text);
    if (event.kind === "interrupt") await interrupt();
    else if (await mayGoOn()) {
      await refused("line too long");
      await print(tooLongText());
    }
    return "goes-on";
  }

  const prompt = (): string => (ordering.pending() ? ANSWER_PROMPT : promptText(host(), login));

  return {
    prompt,
    login: () => login,
    idleMsMax() {
      if (login !== undefined) return LOGGED_IN_IDLE_MS_MAX;
      return ordering.pending() ? CHALLENGE_MS_MAX : IDLE_MS_MAX;
    },
    async take(event) {
      if (event.kind === "echo" || event.kind === "redraw") {
        await print(event.kind === "echo" ? event.text : `\n${prompt()}${event.text}`);
        return "goes-on";
      }
      await print(event.kind === "interrupt" ? "^C\n" : "\n");
      const outcome = await end(event);
      if (outcome === "goes-on") await print(prompt());
      return outcome;
    },
  };
}
