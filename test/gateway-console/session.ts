// One session of `npm run gateway`: the gateway is switched on, asks the hub for a certificate and
// is approved; then its serial console is the user's.
import { appendFileSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import type { Site } from "../lab/gateway/site.ts";
import { Actions } from "./actions.ts";
import { type HubEvent, readHubEvent } from "./hub-events.ts";
import { hubCommandHelp, type HubFiles, writeHubFiles } from "./hub-files.ts";
import { type KeyEvent, type KeyState, readKeys } from "./keys.ts";
import { createLineReader } from "./lines.ts";
import { nextMilestones, SWITCHED_ON } from "./milestones.ts";
import type { Narrator } from "./narrator.ts";
import type { Options } from "./options.ts";
import { createScreen } from "./screen.ts";
import type { Keyboard } from "./terminal.ts";

export interface SessionOptions {
  readonly options: Options;
  readonly narrator: Narrator;
  readonly keyboard: Keyboard;
  /** Ends the program. */
  readonly end: (exitCode: number, why?: string) => void;
}

type Request = Extract<HubEvent, { kind: "request" }>;

const LOG_LINES_MAX = 20_000;
const BOOTS = "it boots, which takes one to two minutes (Enter: do not wait)";
const CONNECTS = "it gets its certificate and connects (Enter: do not wait)";

export class Session {
  readonly #options: Options;
  readonly #narrator: Narrator;
  readonly #keyboard: Keyboard;
  readonly #end: SessionOptions["end"];
  readonly #requested = Promise.withResolvers<Request>();
  readonly #connected = Promise.withResolvers<void>();
  /** The user waits no longer, or there is nothing to wait for. */
  readonly #impatient = Promise.withResolvers<void>();
  readonly #screen = createScreen();
  readonly #linesOf = createLineReader();
  readonly #log: string[] = [];
  readonly #decoder = new StringDecoder("utf8");
  /** A serial number that no device may have as its id becomes another one. */
  #id: string;
  #boot = SWITCHED_ON;
  /** What the serial line said before it was the user's; undefined afterwards. */
  #early: string | undefined = "";
  #keyState: KeyState = "line";

  constructor({ options, narrator, keyboard, end }: SessionOptions) {
    this.#options = options;
    this.#narrator = narrator;
    this.#keyboard = keyboard;
    this.#end = end;
    this.#id = options.serial;
  }

  /** Takes what a serial line said. */
  readonly heard = (line: "serial" | "log", bytes: Buffer): void => {
    if (line === "log") {
      for (const text of this.#linesOf(bytes)) this.#logged(text);
      return;
    }
    const text = this.#screen.show(bytes);
    if (this.#early === undefined) this.#narrator.serial(text, this.#screen.unfinished());
    else this.#early += text;
  };

  /** Takes a line of the hub's output. */
  readonly hubLine = (line: string): void => {
    const event = readHubEvent(line);
    if (event?.kind === "request") {
      this.#id = event.id;
      this.#requested.resolve(event);
    } else if (event !== undefined) this.#narrator.step(event.text);
  };

  /** Resolves when the console is the user's; from then on their keys drive the program. */
  async run(site: Site): Promise<void> {
    this.#narrator.waiting(undefined);
    this.#narrator.step(`a disk, and a hub that serves: ${site.directory}`);
    const files = await writeHubFiles(site.directory, site.golden);
    const actions = this.#actionsOn(site, files);
    await actions.powerOn();
    if (this.#keyboard.interactive) this.#hurryByEnter();
    await this.#enrolment(site, files);
    this.#handOver(actions, hubCommandHelp(site.directory, this.#id));
  }

  #logged(line: string): void {
    if (this.#options.log !== undefined) appendFileSync(this.#options.log, `${line}\n`);
    this.#log.push(line);
    if (this.#log.length > LOG_LINES_MAX) this.#log.shift();
    const { state, milestones } = nextMilestones(this.#boot, line);
    this.#boot = state;
    for (const { step, text } of milestones) {
      if (step === "restart") this.#narrator.restart();
      this.#narrator.step(text);
      if (step === "tunnel") this.#connected.resolve();
      if (step === "agent" && this.#options["no-tpm"]) this.#impatient.resolve();
    }
  }

  #actionsOn(site: Site, files: HubFiles): Actions {
    return new Actions({
      site,
      files,
      id: () => this.#id,
      narrator: this.#narrator,
      log: () => this.#log,
      onPowerOff: () => {
        const text = this.#screen.forget();
        if (this.#early === undefined) this.#narrator.serial(text, "");
      },
      onPowerOn: () => {
        this.#boot = SWITCHED_ON;
        this.#narrator.restart();
        this.#narrator.step("power on");
      },
      onShutdown: (words) => {
        const why = words.replace(/:\s*$/u, ": nothing");
        if (this.#early !== undefined || !this.#keyboard.interactive) this.#end(1, why);
        else this.#narrator.plain(`-- ${why}\nCtrl-] c switches it on again, Ctrl-] q ends the program --`);
      },
      quit: () => this.#end(0),
    });
  }

  /** Follows the first boot until the gateway is connected, or the user waits no longer. */
  async #enrolment(site: Site, files: HubFiles): Promise<void> {
    const { interactive } = this.#keyboard;
    const howTo = ({ fingerprint }: Request): string => `${files.hub} devices approve ${this.#id} ${fingerprint}`;
    this.#narrator.waiting(interactive ? BOOTS : undefined);
    const request = await Promise.race([this.#requested.promise, this.#impatient.promise]);
    this.#narrator.waiting(undefined);
    if (request === undefined) {
      void this.#requested.promise.then(async (later) => {
        if (this.#options.approve) await this.#approve(site, later);
        else this.#narrator.plain(`-- it asks for a certificate. To approve it: ${howTo(later)} --`);
      });
      return;
    }
    if (!(await this.#mayApprove(request))) {
      this.#narrator.plain(`It waits. To approve it: ${howTo(request)}`);
      return;
    }
    await this.#approve(site, request);
    this.#narrator.waiting(interactive ? CONNECTS : undefined);
    await Promise.race([this.#connected.promise, this.#impatient.promise]);
    this.#narrator.waiting(undefined);
  }

  async #approve(site: Site, { fingerprint }: Request): Promise<void> {
    await site.hub.command("devices", "approve", this.#id, fingerprint);
    this.#narrator.step(`approved: sallyport-hub devices approve ${this.#id} ${fingerprint}`);
  }

  /** The user compares the hub's fingerprint with the one that `status` prints at the gateway. */
  async #mayApprove({ id, fingerprint }: Request): Promise<boolean> {
    this.#narrator.step(`request at the hub: ${id}\n        ${fingerprint}`);
    if (this.#options.approve || !this.#keyboard.interactive) return true;
    this.#narrator.ask("        approve? [Y/n] ");
    const answer = await new Promise<string>((resolve) => this.#keyboard.lines(resolve));
    this.#hurryByEnter();
    return /^(?:y|yes|)$/iu.test(answer.trim());
  }

  #hurryByEnter(): void {
    this.#keyboard.lines(() => this.#impatient.resolve());
  }

  #handOver(actions: Actions, help: string): void {
    this.#narrator.plain(`\n${help}\n\nThis is now ${this.#id}'s serial console: press Enter, then type help, status or login.`);
    this.#narrator.plain("Ctrl-] ? lists the keys of this program, Ctrl-] q ends it.\n");
    const said = this.#early ?? "";
    this.#early = undefined;
    this.#narrator.serial(said, this.#screen.unfinished());
    this.#keyboard.keys((bytes) => {
      const read = readKeys(this.#keyState, bytes);
      this.#keyState = read.state;
      for (const event of read.events) this.#onKey(actions, event);
    });
  }

  #onKey(actions: Actions, event: KeyEvent): void {
    switch (event.kind) {
      case "type":
        actions.type(this.#decoder.write(event.bytes));
        break;
      case "command":
        void actions.carryOut(event.command);
        break;
      case "question":
        this.#narrator.plain(`-- ${event.text} --`);
        break;
      case "unknown":
        this.#narrator.plain(`-- Ctrl-] ${event.key}: there is no such key; Ctrl-] ? lists them --`);
        break;
    }
  }
}
