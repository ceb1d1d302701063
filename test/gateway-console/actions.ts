// The commands after Ctrl-], carried out on the gateway and its hub. One runs at a time: a second
// cut during a cut would find the machine off.
import { randomInt } from "node:crypto";
import { asFault, unreachable } from "../../hal/fault.ts";
import { RELEASES } from "../lab/gateway/golden-image.ts";
import type { Site } from "../lab/gateway/site.ts";
import type { UsbDevice } from "../lab/gateway/usb.ts";
import type { HubFiles } from "./hub-files.ts";
import { type Command, KEYS_HELP, type ProgramCommand } from "./keys.ts";
import type { Narrator } from "./narrator.ts";

export interface ActionsOptions {
  readonly site: Site;
  readonly files: HubFiles;
  /** The gateway's id, as far as the hub knows it. */
  readonly id: () => string;
  readonly narrator: Narrator;
  /** The lines of the kernel and of systemd so far. */
  readonly log: () => readonly string[];
  /** Called when the power is off. */
  readonly onPowerOff: () => void;
  /** Called before the power comes on. */
  readonly onPowerOn: () => void;
  /** Called when the gateway has switched itself off. @param why the last lines of QEMU. */
  readonly onShutdown: (why: string) => void;
  readonly quit: () => void;
}

/** The longest time of a timer. */
const TIMER_MS_MAX = 2 ** 31 - 1;
const STICK: UsbDevice = { id: "stick", kind: "stick" };
const KEYBOARD: UsbDevice = { id: "keyboard", kind: "keyboard" };
const SEED_MAX = 1_000_000;
const CHALLENGE = /sp1\/[a-z.]+\/[\w./-]+/gu;

export class Actions {
  readonly #options: ActionsOptions;
  readonly #narrator: Narrator;
  readonly #site: Site;
  readonly #plugged = new Set<UsbDevice>();
  #isOn = false;
  #hubServes = true;
  #running: string | undefined;

  constructor(options: ActionsOptions) {
    this.#options = options;
    this.#narrator = options.narrator;
    this.#site = options.site;
  }

  /** Never rejects: the narrator prints what did not work. */
  async carryOut(command: Command): Promise<void> {
    if (command.does === "help") return this.#narrator.plain(KEYS_HELP);
    if (command.does === "quit") return this.#options.quit();
    if (command.does === "log") return this.#narrator.plain(this.#options.log().join("\n"));
    if (this.#running !== undefined) return this.#narrator.plain(`-- wait until "${this.#running}" is done --`);
    this.#running = command.does;
    try {
      await this.#perform(command);
    } catch (error) {
      this.#narrator.plain(`-- failed: ${asFault(error, "assert.broken", command.does).message} --`);
    } finally {
      this.#running = undefined;
    }
  }

  async powerOn(): Promise<void> {
    const { gateway } = this.#site;
    this.#options.onPowerOn();
    await gateway.powerOn([...this.#plugged]);
    this.#isOn = true;
    const wentOff = (): void => this.#wentOff();
    gateway.waitForPowerOff(TIMER_MS_MAX).then(wentOff, wentOff);
  }

  /** Types on the serial line; the text is dropped while the gateway is off. */
  type(text: string): void {
    if (this.#isOn) this.#site.gateway.type(text);
  }

  #perform(command: Exclude<Command, ProgramCommand>): Promise<void> {
    switch (command.does) {
      case "cut":
        return this.#cut(command.loss);
      case "update":
        return this.#update(command.to);
      case "stick-in":
        return this.#plug(STICK);
      case "stick-out":
        return this.#unplug(STICK);
      case "keyboard":
        return this.#plugged.has(KEYBOARD) ? this.#unplug(KEYBOARD) : this.#plug(KEYBOARD);
      case "hub":
        return this.#toggleHub();
      case "overview":
        return this.#overview();
      case "answer":
        return this.#answer();
      default:
        return unreachable(command);
    }
  }

  #wentOff(): void {
    if (!this.#isOn) return; // this program cut the power
    this.#isOn = false;
    this.#options.onPowerOff();
    // The line has ended, so a wait for it fails at once, and says why.
    this.#site.gateway
      .waitFor(/$never/u, 1)
      .catch((why: unknown) => this.#options.onShutdown(asFault(why, "process.failed", "run it").message));
  }

  async #cut(loss: "drop" | "tear"): Promise<void> {
    const seed = randomInt(SEED_MAX);
    if (this.#isOn) {
      this.#isOn = false;
      const { kept, torn, dropped } = await this.#site.gateway.cut(loss === "drop" ? { kind: "drop" } : { kind: "tear", seed });
      this.#options.onPowerOff();
      const outcome = loss === "drop" ? `${dropped} lost` : `${kept} kept, ${torn} torn, ${dropped} lost (seed ${seed})`;
      const unflushed = kept + torn + dropped === 0 ? "none" : outcome;
      this.#narrator.plain(`-- power cut; writes that the disk had not flushed: ${unflushed} --`);
    }
    await this.powerOn();
  }

  async #plug(device: UsbDevice): Promise<void> {
    if (this.#plugged.has(device)) return this.#narrator.plain(`-- the ${device.kind} is already plugged in --`);
    if (this.#isOn) await this.#site.gateway.plug(device);
    this.#plugged.add(device);
    this.#narrator.plain(`-- ${device.kind} plugged in; after a login, "lockdown" shows whether it was allowed --`);
  }

  async #unplug(device: UsbDevice): Promise<void> {
    if (!this.#plugged.has(device)) return this.#narrator.plain(`-- there is no ${device.kind} to pull out --`);
    if (this.#isOn) await this.#site.gateway.unplug(device);
    this.#plugged.delete(device);
    this.#narrator.plain(`-- ${device.kind} pulled out --`);
  }

  async #toggleHub(): Promise<void> {
    await (this.#hubServes ? this.#site.stopHub() : this.#site.startHub());
    this.#hubServes = !this.#hubServes;
    this.#narrator.plain(`-- the hub ${this.#hubServes ? "is back" : "is down; Ctrl-] h starts it again"} --`);
  }

  async #update(to: "good" | "broken" | "next"): Promise<void> {
    const answer = await this.#site.hub.command("update", "start", this.#options.id(), RELEASES[to]);
    this.#narrator.plain(`-- hub: ${answer.trim()} --`);
  }

  async #overview(): Promise<void> {
    const { hub } = this.#site;
    const device = await hub.command("devices", "list");
    // the command fails while the hub knows of no update
    const status = await hub.command("update", "status", this.#options.id()).catch(() => "no update was reported yet");
    const who = this.#hubServes ? "the hub knows" : "the hub is down; it knows";
    this.#narrator.plain(`-- ${who}:\n${device.trimEnd()}\n${status.trimEnd()}\n--`);
  }

  async #answer(): Promise<void> {
    const { gateway, hub } = this.#site;
    const challenge = gateway.transcript().match(CHALLENGE)?.at(-1);
    if (challenge === undefined) return this.#narrator.plain('-- there is no challenge on the line yet: type "login" first --');
    const answer = await hub.command("answer", challenge, "--key", this.#options.files.technician);
    this.type(`${answer.trim()}\r`);
  }
}
