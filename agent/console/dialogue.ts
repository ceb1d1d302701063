// The dialogue of one console session: the answer to each line, first for a guest, then for the
// operator who has logged in. [CON-3] [CON-4] [OPS-5]
import { Fault } from "../../hal/fault.ts";
import { type TokenBucket, createTokenBucket } from "../../hal/rate-limit.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { OperationAnswer, OperationName } from "../operations/format.ts";
import type { ConsoleLogin } from "../operations/index.ts";
import { ANSWER_PROMPT, gaveUpText } from "./challenge-screen.ts";
import { type ChallengeResponse, createChallengeResponse } from "./challenge.ts";
import { commandOf, mayUse, type OperationAction, type Typed } from "./commands.ts";
import {
  ANSWER_REFILL_MS,
  ANSWERS_BURST_MAX,
  CHALLENGE_MS_MAX,
  COMMAND_REFILL_MS,
  COMMANDS_BURST_MAX,
  IDLE_MS_MAX,
  LOGGED_IN_IDLE_MS_MAX,
} from "./limits.ts";
import type { LineEvent } from "./line.ts";
import type { ConsoleSessionOptions } from "./options.ts";
import { resultText } from "./results.ts";
import {
  alreadyText,
  faultText,
  helpText,
  logInFirstText,
  logoutText,
  promptText,
  rosterText,
  tooLongText,
  tooManyText,
  unknownText,
  welcomeText,
} from "./screen.ts";

export interface Dialogue {
  /**
   * Answers one event of the line reader, and prints the next prompt unless the session is over.
   */
  take(event: LineEvent): Promise<void>;
  /** True after `logout`, and once the roster in force does not have the login any more. */
  isOver(): boolean;
  /**
   * [CON-12] Compares the login with the roster in force, and ends the session when the key is not
   * this operator's any more or the roles differ. While the warden cannot be asked nothing changes:
   * no roster changes without it.
   * @returns true when the session is over because of the roster.
   */
  checkRoster(): Promise<boolean>;
  prompt(): string;
  login(): ConsoleLogin | undefined;
  /** How long the session may go without a key, milliseconds. [CON-4] */
  idleMsMax(): number;
}

/** @param session the id of the session, which its records and operations carry. */
export function createDialogue(options: ConsoleSessionOptions, session: string): Dialogue {
  return new SessionDialogue(options, session);
}

class SessionDialogue implements Dialogue {
  readonly #options: ConsoleSessionOptions;
  readonly #session: string;
  readonly #commands: TokenBucket;
  /** For what a held key or a flood can cause without end. [CON-13] */
  readonly #answers: TokenBucket;
  readonly #challenge: ChallengeResponse;
  #login: ConsoleLogin | undefined;
  #isOver = false;
  #isOffRoster = false;
  #isFlooding = false;
  #operations = 0;

  constructor(options: ConsoleSessionOptions, session: string) {
    const { orders, throttle, clock, host, print } = options;
    this.#options = options;
    this.#session = session;
    this.#commands = createTokenBucket(clock, COMMANDS_BURST_MAX, COMMAND_REFILL_MS);
    this.#answers = createTokenBucket(clock, ANSWERS_BURST_MAX, ANSWER_REFILL_MS);
    this.#challenge = createChallengeResponse({
      orders,
      throttle,
      clock,
      host,
      print,
      printFault: (fault) => this.#printFault(fault),
      perform: (operation, args) => this.#perform(operation, args),
      record: (entry) => this.#record(entry),
    });
  }

  async take(event: LineEvent): Promise<void> {
    const { print } = this.#options;
    if (event.kind === "echo") return print(event.text);
    const isAnswered = this.#answers.take();
    switch (event.kind) {
      case "redraw":
        return isAnswered ? print(`\n${this.prompt()}${event.text}`) : undefined;
      case "interrupt":
        await print(isAnswered ? "^C\n" : "\n");
        await this.#interrupt();
        break;
      case "too-long":
        await print("\n");
        await this.#refuseLine(isAnswered);
        break;
      case "line":
        await print("\n");
        if (!(await this.checkRoster())) await this.#takeLine(event.text, isAnswered);
    }
    if (!this.#isOver && isAnswered) await print(this.prompt());
  }

  isOver(): boolean {
    return this.#isOver;
  }

  async checkRoster(): Promise<boolean> {
    const login = this.#login;
    if (login === undefined || this.#isOver || (await this.#isOnRoster(login))) return this.#isOffRoster;
    this.#isOver = true;
    this.#isOffRoster = true;
    await this.#options.print(rosterText(login));
    return true;
  }

  prompt(): string {
    return this.#challenge.isPending() ? ANSWER_PROMPT : promptText(this.#options.host(), this.#login);
  }

  login(): ConsoleLogin | undefined {
    return this.#login;
  }

  idleMsMax(): number {
    if (this.#login !== undefined) return LOGGED_IN_IDLE_MS_MAX;
    return this.#challenge.isPending() ? CHALLENGE_MS_MAX : IDLE_MS_MAX;
  }

  async #isOnRoster({ id, roles, keyid }: ConsoleLogin): Promise<boolean> {
    try {
      const { operator } = await this.#options.orders.signer(keyid);
      return operator?.id === id && operator.roles.toSorted().join(" ") === roles.toSorted().join(" ");
    } catch (error) {
      if (error instanceof Fault && error.code !== "assert.broken") return true;
      throw error;
    }
  }

  async #interrupt(): Promise<void> {
    if (!this.#challenge.isPending()) return;
    this.#challenge.cancel();
    await this.#options.print(gaveUpText());
  }

  async #refuseLine(isAnswered: boolean): Promise<void> {
    if (!(await this.#takeToken(isAnswered))) return;
    await this.#recordRefusal("line too long");
    await this.#options.print(tooLongText());
  }

  async #takeLine(text: string, isAnswered: boolean): Promise<void> {
    if (this.#challenge.isPending()) return this.#takeAnswer(text, isAnswered);
    const typed = commandOf(text);
    if (typed === "nothing" || !(await this.#takeToken(isAnswered))) return;
    if (typed === "unknown") await this.#options.print(unknownText(text));
    else await this.#run(typed);
  }

  async #takeAnswer(text: string, isAnswered: boolean): Promise<void> {
    if (!(await this.#takeToken(isAnswered))) return;
    const login = await this.#challenge.answer(text);
    if (login === undefined) return;
    this.#login = login;
    await this.#options.print(welcomeText(login));
  }

  /**
   * Takes a token for one line, or prints that there were too many, where `isAnswered` allows it. A
   * flood makes one record only, so that it does not flood the audit trail.
   */
  async #takeToken(isAnswered: boolean): Promise<boolean> {
    if (this.#commands.take()) {
      this.#isFlooding = false;
      return true;
    }
    if (!this.#isFlooding) await this.#recordRefusal("too many commands at once");
    this.#isFlooding = true;
    if (isAnswered) await this.#options.print(tooManyText(this.#commands.dueMs()));
    return false;
  }

  async #run({ command, args }: Typed): Promise<void> {
    const { print } = this.#options;
    const login = this.#login;
    const { does } = command;
    switch (does.kind) {
      case "help":
        return print(helpText(login));
      case "login":
        return login === undefined ? this.#challenge.ask(command, { kind: "login" }) : print(alreadyText(login));
      case "logout":
        this.#isOver = true;
        return print(logoutText(login));
      case "order":
        return mayUse(command, login?.roles) ? this.#challenge.ask(command, does) : this.#show(does, args);
      case "ask":
        return this.#show(does, args);
    }
  }

  /**
   * Performs the operation and prints its result or the refusal. The operations refuse what the
   * login has no right to, and record that. [OPS-5]
   */
  async #show(action: OperationAction, args: Typed["args"]): Promise<void> {
    const answer = await this.#perform(action.operation, args);
    if ("fault" in answer) await this.#printFault(answer.fault);
    else await this.#options.print(resultText(action, answer.result));
  }

  #perform(operation: OperationName, args: Readonly<Record<string, unknown>>): Promise<OperationAnswer> {
    this.#operations += 1;
    const id = `${this.#session}-${this.#operations}`;
    return this.#options.operations.perform({ channel: "console", login: this.#login }, { v: 1, id, operation, args });
  }

  #printFault(fault: FaultReport): Promise<void> {
    const hint = fault.code === "operation.denied" && this.#login === undefined ? logInFirstText() : "";
    return this.#options.print(faultText(fault) + hint);
  }

  async #recordRefusal(reason: string): Promise<void> {
    await this.#record({ event: "input.refused", result: "refused", detail: { channel: "console", reason } });
  }

  async #record(entry: Pick<AuditEntry, "event" | "result" | "detail">): Promise<void> {
    await this.#options.record({ ...entry, principal: this.#login?.id ?? "console", correlation: this.#session });
  }
}
