// A gateway's first hours in a person's hands: it is switched on, asks the hub for a certificate, is approved, and then its serial console is theirs.
import { appendFileSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import type { Site } from "../lab/gateway/site.ts";
import { createDeeds, type Deeds } from "./actions.ts";
import { howToPoke, layOutDesk } from "./hub-files.ts";
import { type HubNews, hubNews } from "./hub-news.ts";
import { type KeyEvent, type KeyState, readKeys } from "./keys.ts";
import { lineReader } from "./lines.ts";
import { nextMilestones, SWITCHED_ON } from "./milestones.ts";
import type { Options } from "./options.ts";
import { screen } from "./screen.ts";
import type { Teller } from "./narrator.ts";
import type { Keyboard } from "./terminal.ts";

/** Given to what makes the site, before there is one. */
export interface Ears {
  readonly heard: (line: "serial" | "log", bytes: Buffer) => void;
  readonly hubLine: (line: string) => void;
}

export interface Hand extends Ears {
  /** Resolves when the console is the user's; what follows is driven by what they type. */
  take(site: Site): Promise<void>;
}

export interface HandParts {
  readonly options: Options;
  readonly teller: Teller;
  readonly keyboard: Keyboard;
  /** Ends the program. */
  readonly end: (exitCode: number, why?: string) => void;
}

type Request = Extract<HubNews, { kind: "request" }>;

const LOG_LINES_MAX = 20_000;
const BOOTS = "it boots, which takes one to two minutes (Enter: don't wait)";

export function createHand({ options, teller, keyboard, end }: HandParts): Hand {
  const [requested, connected, impatient] = [
    Promise.withResolvers<Request>(),
    Promise.withResolvers<void>(),
    Promise.withResolvers<void>(),
  ];
  const { show, unfinished, forget } = screen();
  const linesOf = lineReader();
  const log: string[] = [];
  let id: string = options.serial; // a board's serial that no device may have as its id becomes another one
  let boot = SWITCHED_ON;
  let early: string | undefined = ""; // what the serial line said before it was the user's

  function heard(line: "serial" | "log", bytes: Buffer): void {
    if (line === "serial") {
      const text = show(bytes);
      if (early === undefined) teller.serial(text, unfinished());
      else early += text;
      return;
    }
    for (const text of linesOf(bytes)) logged(text);
  }

  function logged(line: string): void {
    if (options.log !== undefined) appendFileSync(options.log, `${line}\n`);
    log.push(line);
    if (log.length > LOG_LINES_MAX) log.shift();
    const { state, milestones } = nextMilestones(boot, line);
    boot = state;
    for (const { step, text } of milestones) {
      if (step === "restart") teller.restart();
      teller.step(text);
      if (step === "tunnel") connected.resolve();
      if (step === "agent" && options["no-tpm"]) impatient.resolve();
    }
  }

  function hubLine(line: string): void {
    const news = hubNews(line);
    if (news?.kind === "request") {
      id = news.id;
      requested.resolve(news);
    } else if (news !== undefined) teller.step(news.text);
  }

  async function take(site: Site): Promise<void> {
    teller.waiting(undefined);
    teller.step(`a disk, and a hub that serves: ${site.directory}`);
    const files = await layOutDesk(site.directory, site.mould);
    const deeds = createDeeds({
      site,
      files,
      id: () => id,
      teller,
      log: () => log,
      dark() {
        const text = forget();
        if (early === undefined) teller.serial(text, "");
      },
      switchingOn() {
        boot = SWITCHED_ON;
        teller.restart();
        teller.step("power on");
      },
      wentOff(words) {
        const why = words.replace(/:\s*$/u, ": nothing");
        if (early !== undefined || !keyboard.interactive) end(1, why);
        else teller.plain(`-- ${why}\nCtrl-] c switches it on again, Ctrl-] q ends it all --`);
      },
      quit: () => end(0),
    });
    const approve = async ({ fingerprint }: Request): Promise<void> => {
      await site.hub.command("devices", "approve", id, fingerprint);
      teller.step(`approved: sallyport-hub devices approve ${id} ${fingerprint}`);
    };

    await deeds.powerOn();
    if (keyboard.interactive) keyboard.lines(() => impatient.resolve());
    teller.waiting(keyboard.interactive ? BOOTS : undefined);
    const request = await Promise.race([requested.promise, impatient.promise]);
    teller.waiting(undefined);
    if (request !== undefined) {
      if (await mayApprove(request)) {
        await approve(request);
        teller.waiting(keyboard.interactive ? "it gets its certificate and connects (Enter: don't wait)" : undefined);
        await Promise.race([connected.promise, impatient.promise]);
        teller.waiting(undefined);
      } else teller.plain(`It waits. To let it in: ${files.hub} devices approve ${id} ${request.fingerprint}`);
    } else {
      void requested.promise.then(async (late) => {
        if (options.approve) await approve(late);
        else
          teller.plain(`-- it asks for a certificate. To let it in: ${files.hub} devices approve ${id} ${late.fingerprint} --`);
      });
    }
    handOver(deeds, howToPoke(site.directory, id));
  }

  /** The operator compares what the hub shows with what the gateway's console does, in `status`. */
  async function mayApprove({ id, fingerprint }: Request): Promise<boolean> {
    teller.step(`request at the hub: ${id}\n        ${fingerprint}`);
    if (options.approve || !keyboard.interactive) return true;
    teller.ask("        approve? [Y/n] ");
    const answer = await new Promise<string>((resolve) => keyboard.lines(resolve));
    impatientAgain();
    return /^(?:y|yes|)$/iu.test(answer.trim());
  }

  function impatientAgain(): void {
    keyboard.lines(() => impatient.resolve());
  }

  function handOver(deeds: Deeds, poke: string): void {
    teller.plain(`\n${poke}\n\nFrom here on this is ${id}'s serial console: Enter wakes it, then help, status, login.`);
    teller.plain("Ctrl-] ? lists what you can do to it, Ctrl-] q ends it all.\n");
    const said = early ?? "";
    early = undefined;
    teller.serial(said, unfinished());
    const decoder = new StringDecoder("utf8");
    let state: KeyState = "line";
    keyboard.keys((bytes) => {
      const read = readKeys(state, bytes);
      state = read.state;
      for (const event of read.events) carryOut(deeds, decoder, event);
    });
  }

  function carryOut(deeds: Deeds, decoder: StringDecoder, event: KeyEvent): void {
    switch (event.kind) {
      case "type":
        deeds.type(decoder.write(event.bytes));
        break;
      case "command":
        void deeds.carryOut(event.command);
        break;
      case "question":
        teller.plain(`-- ${event.text} --`);
        break;
      case "unknown":
        teller.plain(`-- Ctrl-] ${event.key}: no such key; Ctrl-] ? lists them --`);
        break;
    }
  }

  return { heard, hubLine, take };
}
