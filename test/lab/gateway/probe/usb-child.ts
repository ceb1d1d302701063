// Runs inside the virtual gateway: our own driver on the USB tree of a real kernel. Its actions,
// separated by `then`: `state`, `record`, `interfaces`, `until PORT ...` (devices at these ports
// and no others), `default CONTROLLER none|hardwired`, `device PORT yes|no`, `port PORT on|off`.
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { assert, Fault } from "../../../../hal/fault.ts";
import { linuxUsbTree } from "../../../../hal/linux/usb/index.ts";
import { recordUsb, type SysfsTree } from "../../fakes/sysfs-tree.ts";

const DEVICES = "/sys/bus/usb/devices";
const LINE_CHARACTERS = 1000;
const TRIES_MAX = 60;
const TRY_EVERY_MS = 500;
const tree = linuxUsbTree({ root: "/" });

const actions = process.argv.slice(2).join(" ").split(" then ");
for (const action of actions) {
  try {
    say(await act(...action.split(" ")));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    say({ fault: error.code, why: error.message });
  }
}

function say(answer: unknown): void {
  console.log(`= ${JSON.stringify(answer)}`);
}

async function act(verb = "", name = "", value = "", ...more: readonly string[]): Promise<unknown> {
  switch (verb) {
    case "state":
      return await tree.read();
    case "until":
      return await until([name, value, ...more].filter((port) => port !== ""));
    case "interfaces":
      return interfaces();
    case "record":
      return pack(await settled());
    case "default":
      assert(value === "none" || value === "hardwired", "a default that the driver knows");
      return (await tree.setDefault(name, value)) ?? "done";
    case "device": {
      const device = (await tree.read()).devices.find(({ port }) => port === name);
      assert(device !== undefined, `a device at "${name}"`);
      return (await tree.setDevice(device, value === "yes")) ?? "done";
    }
    case "port":
      return (await tree.setPort(name, value === "off")) ?? "done";
    default:
      throw new Fault("assert.broken", `no verb "${verb}"`);
  }
}

/** The classes of the interfaces of devices, not of root hubs: "1-1:1.0", not "1-0:1.0". */
function interfaces(): readonly string[] {
  const names = readdirSync(DEVICES).filter((each) => /^\d+-[1-9][\d.]*:/u.test(each));
  return names.map((each) => readFileSync(`${DEVICES}/${each}/bInterfaceClass`, "utf8").trim()).sort();
}

async function until(ports: readonly string[]): Promise<string> {
  const wanted = ports.toSorted().join(" ");
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const found = (await tree.read()).devices.map(({ port }) => port);
    if (found.toSorted().join(" ") === wanted) return "done";
    await sleep(TRY_EVERY_MS);
  }
  throw new Fault("process.timeout", `no devices at "${wanted}"`);
}

/** Drivers take a moment to bind to what was authorized. */
async function settled(): Promise<SysfsTree> {
  for (let before = ""; ; await sleep(TRY_EVERY_MS)) {
    const found = recordUsb("/");
    const text = JSON.stringify(found);
    if (text === before) return found;
    before = text;
  }
}

/** In lines short enough for a serial line. */
function pack(found: SysfsTree): number {
  const packed = gzipSync(JSON.stringify(found)).toString("base64");
  for (let at = 0; at < packed.length; at += LINE_CHARACTERS) console.log(`| ${packed.slice(at, at + LINE_CHARACTERS)}`);
  return packed.length;
}
