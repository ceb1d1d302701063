// What is done to the gateway and its hub after Ctrl-]. One thing at a time: a cut while a cut is under way would be of a machine that is off.
import { randomInt } from "node:crypto";
import { asFault, unreachable } from "../../hal/fault.ts";
import { RELEASES } from "../lab/gateway/golden-image.ts";
import type { Site } from "../lab/gateway/site.ts";
import type { UsbDevice } from "../lab/gateway/usb.ts";
import type { DeskFiles } from "./hub-files.ts";
import { type Command, KEYS_HELP, type Ours } from "./keys.ts";
import type { Teller } from "./narrator.ts";

export interface DeedParts {
  readonly site: Site;
  readonly files: DeskFiles;
  /** Of the gateway, as far as the hub has heard of it. */
  readonly id: () => string;
  readonly teller: Teller;
  /** What kernel and systemd said so far. */
  readonly log: () => readonly string[];
  /** Called when the power is gone. */
  readonly dark: () => void;
  /** Called before the power comes on. */
  readonly switchingOn: () => void;
  /** The gateway went off without our doing. @param why QEMU's last words. */
  readonly wentOff: (why: string) => void;
  readonly quit: () => void;
}

export interface Deeds {
  /** Never rejects: what does not work is told. */
  carryOut(command: Command): Promise<void>;
  powerOn(): Promise<void>;
  /** On its serial line; dropped while it is off. */
  type(text: string): void;
}

/** As long as a timer can be. */
const FOR_EVER_MS = 2 ** 31 - 1;
const STICK: UsbDevice = { id: "stick", kind: "stick" };
const KEYBOARD: UsbDevice = { id: "keyboard", kind: "keyboard" };
const SEED_MAX = 1_000_000;
const CHALLENGE = /sp1\/[a-z.]+\/[\w./-]+/gu;

export function createDeeds(parts: DeedParts): Deeds {
  const { site, files, id, teller } = parts;
  const { gateway, hub } = site;
  const plugged = new Set<UsbDevice>();
  let on = false;
  let hubServes = true;
  let busyWith: string | undefined;

  async function powerOn(): Promise<void> {
    parts.switchingOn();
    await gateway.powerOn([...plugged]);
    on = true;
    gateway.waitForPowerOff(FOR_EVER_MS).then(wentOff, wentOff);
  }

  function wentOff(): void {
    if (!on) return; // we cut it
    on = false;
    parts.dark();
    // the line has ended, and who waits for something on it is told why
    gateway.waitFor(/$never/u, 1).catch((why: unknown) => parts.wentOff(asFault(why, "process.failed", "run it").message));
  }

  async function cut(loss: "drop" | "tear"): Promise<void> {
    const seed = randomInt(SEED_MAX);
    if (on) {
      on = false;
      const { kept, torn, dropped } = await gateway.cut(loss === "drop" ? { kind: "drop" } : { kind: "tear", seed });
      parts.dark();
      const became = loss === "drop" ? `${dropped} lost` : `${kept} kept, ${torn} torn, ${dropped} lost (seed ${seed})`;
      const waiting = kept + torn + dropped;
      teller.plain(`-- power cut; writes that the disk had not flushed: ${waiting === 0 ? "none" : became} --`);
    }
    await powerOn();
  }

  async function plug(device: UsbDevice): Promise<void> {
    if (plugged.has(device)) return teller.plain(`-- the ${device.kind} is plugged in already --`);
    if (on) await gateway.plug(device);
    plugged.add(device);
    teller.plain(`-- ${device.kind} plugged in; "lockdown" shows what became of it, once you have logged in --`);
  }

  async function unplug(device: UsbDevice): Promise<void> {
    if (!plugged.has(device)) return teller.plain(`-- there is no ${device.kind} to pull out --`);
    if (on) await gateway.unplug(device);
    plugged.delete(device);
    teller.plain(`-- ${device.kind} pulled out --`);
  }

  async function toggleHub(): Promise<void> {
    await (hubServes ? site.stopHub() : site.startHub());
    hubServes = !hubServes;
    teller.plain(`-- the hub is ${hubServes ? "back" : "gone; Ctrl-] h brings it back"} --`);
  }

  async function update(to: "good" | "broken" | "next"): Promise<void> {
    const said = await hub.command("update", "start", id(), RELEASES[to]);
    teller.plain(`-- hub: ${said.trim()} --`);
  }

  async function overview(): Promise<void> {
    const device = await hub.command("devices", "list");
    // says on stderr and by its exit code where it knows nothing yet
    const status = await hub.command("update", "status", id()).catch(() => "no update was reported yet");
    teller.plain(`-- the hub ${hubServes ? "" : "is gone; it "}knows:\n${device.trimEnd()}\n${status.trimEnd()}\n--`);
  }

  async function answer(): Promise<void> {
    const challenge = gateway.transcript().match(CHALLENGE)?.at(-1);
    if (challenge === undefined) return teller.plain('-- no challenge on the line yet: type "login" first --');
    if (on) gateway.type((await hub.command("answer", challenge, "--key", files.technician)).trim() + "\r");
  }

  function perform(command: Exclude<Command, Ours>): Promise<void> {
    switch (command.does) {
      case "cut":
        return cut(command.loss);
      case "update":
        return update(command.to);
      case "stick-in":
        return plug(STICK);
      case "stick-out":
        return unplug(STICK);
      case "keyboard":
        return plugged.has(KEYBOARD) ? unplug(KEYBOARD) : plug(KEYBOARD);
      case "hub":
        return toggleHub();
      case "overview":
        return overview();
      case "answer":
        return answer();
      default:
        return unreachable(command);
    }
  }

  return {
    powerOn,
    type: (text) => {
      if (on) gateway.type(text);
    },
    async carryOut(command) {
      if (command.does === "help") return teller.plain(KEYS_HELP);
      if (command.does === "quit") return parts.quit();
      if (command.does === "log") return teller.plain(parts.log().join("\n"));
      if (busyWith !== undefined) return teller.plain(`-- wait for "${busyWith}" to be done --`);
      busyWith = command.does;
      try {
        await perform(command);
      } catch (error) {
        teller.plain(`-- not done: ${asFault(error, "assert.broken", command.does).message} --`);
      } finally {
        busyWith = undefined;
      }
    },
  };
}
