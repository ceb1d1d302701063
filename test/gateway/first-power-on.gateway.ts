// A whole gateway is switched on as it leaves the factory, with devices plugged in that it must not
// authorize. The test follows how it makes its key, waits for its approval and connects, and what
// an attacker gets who has the cable, a stick, a key held down from the boot loader on, and in the
// end the disk. It boots once, and again after a power cut.
import { createPublicKey, randomBytes, verify, X509Certificate } from "node:crypto";
import { cp, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Test, test } from "tap";
import * as v from "valibot";
import { OPERATIONS } from "../../agent/operations/format.ts";
import type { DeviceStatus } from "../../agent/status/format.ts";
import { assert } from "../../hal/fault.ts";
import { linuxFiles } from "../../hal/linux/files/index.ts";
import { createTpmKeyStore } from "../../hal/linux/keys/index.ts";
import type { AuditRecord } from "../../warden/audit/format/index.ts";
import { type Gateway, ID } from "../lab/gateway/gateway.ts";
import { openSite, type Site } from "../lab/gateway/site.ts";
import type { UsbDevice } from "../lab/gateway/usb.ts";
import { takePartition, unpackExt4 } from "../lab/gateway/partition.ts";
import { privateKeysIn } from "../lab/gateway/private-keys.ts";
import { readUsbTap } from "../lab/gateway/usb-tap.ts";
import { type HubDevice, hubAsks, hubDevices, hubLists, hubRecords } from "../lab/worlds/hub-cli-json.ts";
import { needs, tpm2Provider } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const BOOT_MS_MAX = 400_000;
const STEP_MS_MAX = 150_000;
const LOOK_EVERY_MS = 500;
const CYCLES = 30;
/** An emulated board takes some hundred milliseconds to find out what was plugged in. */
const IN_FOR_MS_MIN = 250;
const IN_FOR_LONGER_MS = 50;
/** In every release: build/units/usr/lib/sysusers.d. */
const AGENT_UID = 900;
const PROMPT = `\n${ID}> `;
const HELD_EVERY_MS = 100;
const BREAK = Symbol("BREAK");
/** Prompts that would be a way in by the cable. A boot menu would offer "Sallyport gateway". */
const WAY_IN =
  /login:|password|root@|[#$] $|sh-5|initramfs|emergency|rescue|Boot Menu|Boot in|systemd-boot|Sallyport gateway|Shell>|grub|BusyBox|sysrq/imu;

test(
  "[ID-4] [ID-6] [ID-7] [ID-26] [LCK-7] [LCK-14] [LCK-71] [CON-3] [OTA-80] a bare gateway is switched on for the first time",
  { skip: needs("qemu", "image", "swtpm", "tpm2-provider"), timeout: 900_000 },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const at = (name: string): string => join(directory, name);
    const site = await openSite({ say: (line) => t.comment(line), processors: 1 });
    t.teardown(() => site.stop());
    const { gateway, hub } = site;
    const stick: UsbDevice = { id: "stick", kind: "stick", port: "1", tap: at("stick.pcap") };
    const keyboard: UsbDevice = { id: "keyboard", kind: "keyboard", port: "2", tap: at("keyboard.pcap") };
    const late: UsbDevice = { id: "late", kind: "stick", port: "3", tap: at("late.pcap") };

    t.comment(
      "first power-on, a stick and a keyboard in its sockets, keys held down on the cable from the boot loader to the kernel",
    );
    await gateway.powerOn([stick, keyboard]);
    const kernelAtMs = await startKernel(t, site);
    const [, named, auditKey] = await gateway.waitFor(
      /\nsallyport: audit key of "([^"\r\n]+)": (sha256:[0-9a-f]{64})\r?\n/u,
      BOOT_MS_MAX,
    );
    t.equal(named, ID, "[ID-26] the warden names its audit key on the cable, before any byte of the agent");
    await gateway.waitFor(/serial console, press Enter/u, BOOT_MS_MAX);

    const asked = await onlyDevice(site, ({ state }) => state === "pending", BOOT_MS_MAX);
    t.equal(asked.id, ID);
    t.equal(asked.auditKeyFingerprint, auditKey, "[ID-26] the key that the request has, for the operator who compares them");
    gateway.type("\r");
    await gateway.waitFor(new RegExp(PROMPT, "u"), STEP_MS_MAX);
    const waiting = await statusOnCable(site, "REQUESTED");
    t.match(
      waiting,
      /^enrol +waiting for the operator to approve this id and key fingerprint$/mu,
      "[ID-7] its status says that it waits",
    );
    t.match(waiting, /^key +in the TPM$/mu, "[ID-4] where its key is");
    t.match(waiting, asked.fingerprint, "[ID-7] and the fingerprint that the hub shows, so that a technician can compare them");
    await tryTheCable(t, site);

    t.comment("approved");
    const { id, fingerprint } = await hub.approve(STEP_MS_MAX);
    t.same([id, fingerprint], [asked.id, asked.fingerprint], "[ID-7] the request waited until somebody approved both");
    const status = await statusWhen(site, "connected", ({ life }) => life === "connected");
    t.same(status.key, { protection: "tpm", fingerprint: asked.fingerprint }, "[ID-4] the agent's status names its key");
    t.equal(status.lockdown?.at, "base", "[LCK-1] the image's own policy is in force");
    t.same([status.update?.running, status.update?.version], ["a", "1.0.0"]);
    t.same(status.troubles, []);
    const up = await statusOnCable(site, "CONNECTED");
    t.match(up, /^policy +the image's own is in force$/mu);
    t.match(up, /^update +1\.0\.0 runs from slot a/mu);
    t.match(up, /^tunnel +up for/mu);

    t.comment("USB");
    const one = "1-2 refused: no rule for 0627:0001";
    await usbBecomes(t, site, [one, "2-1 refused: no rule for 46f4:0001"]);
    await gateway.plug(late);
    await usbBecomes(t, site, [one, "2-1 refused: no rule for 46f4:0001", "2-3 refused: no rule for 46f4:0001"]);
    const refused = async (count: number): Promise<readonly string[]> =>
      (await records(site, (all) => all.filter(({ event }) => event === "usb.refused").length >= count))
        .filter(({ event }) => event === "usb.refused")
        .map(({ detail }) => `${detail?.["port"]} ${detail?.["device"]} ${detail?.["interfaces"]}`);
    t.strictSame(
      [...(await refused(3))].sort(),
      ["1-2 0627:0001 03:01:01", "2-1 46f4:0001 08:06:50", "2-3 46f4:0001 08:06:50"],
      "[LCK-14] each was recorded once, and the hub has the record",
    );
    for (const device of [stick, keyboard, late]) await gateway.unplug(device);
    await usbBecomes(t, site, []);
    await inAndOut(t, site);
    await neverSetUp(t, [stick, keyboard, late], kernelAtMs);
    for (const port of ["1-2", "2-1", "2-3"])
      t.match(gateway.log.all(), `usb ${port}: Device is not authorized for usage`, "[LCK-7] the kernel itself confirms it");

    t.comment("the power is cut, and somebody takes the disk");
    await gateway.cut();
    gateway.saveDisk(at("disk.img"));
    await cp(gateway.tpmDirectory, at("chip"), { recursive: true });
    await onTheDisk(t, { at, factoryDisk: site.golden.disk, fingerprint: asked.fingerprint });

    t.comment("second power-on");
    await gateway.powerOn([stick]);
    const againAtMs = await startKernel(t, site);
    const again = await statusWhen(site, "connected again", ({ life }) => life === "connected");
    t.equal(again.key?.fingerprint, asked.fingerprint, "[ID-6] the same key");
    t.equal(again.certificate?.serial, status.certificate?.serial, "and the same certificate");
    await onlyDevice(site, ({ state }) => state === "approved", STEP_MS_MAX);
    await usbBecomes(t, site, ["2-1 refused: no rule for 46f4:0001"]);
    await gateway.unplug(stick);
    await neverSetUp(t, [stick], againAtMs);
    t.strictSame(await journalCounts(site), { "device.requested": 1, "certificate.issued": 1 }, "no second enrolment");
    t.notMatch(gateway.transcript(), WAY_IN, "nothing on the serial line, in two boots, that is a way in");
  },
);

/**
 * From the boot loader to the kernel, keys are held down that stop some boot loaders; everything
 * before is the firmware's, with its own settings. Then, in the initrd, which keeps the kernel's
 * console open, BREAK with a letter follows.
 * @returns when the kernel was started, by this machine's clock.
 */
async function startKernel(t: Test, { gateway }: Site): Promise<number> {
  await gateway.waitFor(/BdsDxe: starting/u, BOOT_MS_MAX);
  const kernel = gateway.waitFor(/EFI stub: /u, BOOT_MS_MAX).then(() => Date.now());
  const startedAtMs = await holding(gateway, "serial", [" ", "e", "\u001B", "d", "w", "\u001B[A", "\r"], kernel);
  t.ok(await gateway.log.waitFor(/watchdog0: watchdog did not stop!/u, BOOT_MS_MAX), "the initrd has started the watchdog");
  const [, seconds] = await gateway.log.waitFor(
    /sallyport-initrd: the watchdog resets this machine after (\d+) s\n/u,
    BOOT_MS_MAX,
  );
  t.equal(seconds, "180", "[OTA-80] with the image's time, which the driver took");
  await holding(gateway, "log", [BREAK, "h"], gateway.log.waitFor(/systemd\[1\]: /u, BOOT_MS_MAX));
  t.notMatch(gateway.log.all(), /sysrq/iu, "no SysRq key on the kernel's own line");
  return startedAtMs;
}

/**
 * Holds keys down on a line, one after the other and repeatedly, until `released`.
 * @returns its result.
 */
async function holding<T>(
  gateway: Gateway,
  line: "serial" | "log",
  keys: readonly (string | typeof BREAK)[],
  released: Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const release = (): void => over.abort();
  released.then(release, release);
  for (let typed = 0; !over.signal.aborted; typed += 1) {
    const key = keys[typed % keys.length] ?? BREAK;
    if (key === BREAK) await gateway.sendBreak(line);
    else gateway.type(key, line);
    await sleep(HELD_EVERY_MS);
  }
  return released;
}

/** What an attacker tries who has the cable and no key. */
async function tryTheCable(t: Test, { gateway }: Site): Promise<void> {
  const answers = async (typed: string, answer: RegExp): Promise<void> => {
    gateway.type(typed);
    t.ok(await gateway.waitFor(answer, STEP_MS_MAX), `to ${JSON.stringify(typed)} it says ${answer}`);
  };
  for (const words of ["root", "sh", "`id`", "$(reboot)", "exec /bin/sh"])
    await answers(`${words}\r`, /There is no command ".*"\./u);
  // Interrupt, end of file, stop, quit, escape: the line stays the console's.
  for (const key of ["\u0003", "\u0004", "\u001A", "\u001C", "\u001B", "\u001Bc"]) gateway.type(key);
  await answers("\u0015help\r", /audit tail|There are more once you have logged in\./u);
  // BREAK and a letter: hardware.gateway.ts shows that a kernel obeys them on its console.
  await gateway.sendBreak("serial");
  await answers("h\u0015help\r", /There are more once you have logged in\./u);
  await answers("audit tail\r", /operation\.denied/u);
}

async function statusOnCable({ gateway }: Site, life: string): Promise<string> {
  gateway.type("status\r");
  const [said] = await gateway.waitFor(new RegExp(`: ${life} [\\s\\S]*?${PROMPT}`, "u"), STEP_MS_MAX);
  return said;
}

async function onlyDevice(site: Site, wanted: (device: HubDevice) => boolean, timeoutMs: number): Promise<HubDevice> {
  const look = async (): Promise<HubDevice | undefined> => {
    const [device, ...others] = await hubDevices(site.hub);
    return device !== undefined && others.length === 0 && wanted(device) ? device : undefined;
  };
  return eventually("one device at the hub, as wanted", look, timeoutMs, LOOK_EVERY_MS);
}

async function statusWhen({ hub }: Site, what: string, wanted: (status: DeviceStatus) => boolean): Promise<DeviceStatus> {
  const look = async (): Promise<DeviceStatus | undefined> => {
    const status = await hubAsks(hub, ID, "status", OPERATIONS.status.result);
    return wanted(status) ? status : undefined;
  };
  return eventually(what, look, BOOT_MS_MAX, LOOK_EVERY_MS);
}

/** Waits until the USB lines of `lockdown` begin with `lines`, and are no more. */
async function usbBecomes(t: Test, { hub }: Site, lines: readonly string[]): Promise<void> {
  const look = async (): Promise<true> => {
    const { usb } = await hubAsks(hub, ID, "lockdown.show", OPERATIONS["lockdown.show"].result);
    const shown = usb.length === lines.length && usb.every((line, n) => line.startsWith(lines[n] ?? line));
    assert(shown, `USB is told to be ${JSON.stringify(lines)}, not ${JSON.stringify(usb)}`);
    return true;
  };
  t.ok(
    await eventually("USB as expected", look, STEP_MS_MAX, LOOK_EVERY_MS),
    "[LCK-8] the hub is told what is plugged in, and that it is not authorized",
  );
}

/** [LCK-71] Thirty times a stick is pulled out as soon as the kernel may have named it. */
async function inAndOut(t: Test, site: Site): Promise<void> {
  const { gateway } = site;
  const quick: UsbDevice = { id: "quick", kind: "stick", port: "4" };
  for (let n = 0; n < CYCLES; n++) {
    await gateway.plug(quick);
    await sleep(IN_FOR_MS_MIN + n * IN_FOR_LONGER_MS);
    await gateway.unplug(quick);
  }
  await usbBecomes(t, site, []);
  // the kernel says this of each device of which it has sent an event
  const named = gateway.log.all().match(/usb 2-4: Device is not authorized for usage/gu)?.length ?? 0;
  t.comment(`the kernel named ${named} of ${CYCLES}`);
  t.ok(named > 0, "control: the kernel saw some of them");
  const isOne = ({ event, detail }: AuditRecord): boolean =>
    (event === "usb.missed" || event === "usb.refused") && detail?.["port"] === "2-4";
  const told = (await records(site, (all) => all.filter((one) => isOne(one)).length >= named)).filter((one) => isOne(one));
  t.equal(told.length, named, "[LCK-71] each stick that the kernel named is recorded, however short it was there");
  t.comment(`of them, ${told.filter(({ event }) => event === "usb.missed").length} were gone before they were judged`);
}

async function records(site: Site, enough: (records: readonly AuditRecord[]) => boolean): Promise<readonly AuditRecord[]> {
  return eventually(
    "records at the hub",
    async () => {
      const all = (await hubRecords(site.hub, ID)).map(({ record }) => record);
      return enough(all) ? all : undefined;
    },
    STEP_MS_MAX,
    LOOK_EVERY_MS,
  );
}

/**
 * The recording of the cable, which no program of the gateway can falsify. Before the kernel, the
 * firmware may use every device: that is for its own settings.
 */
async function neverSetUp(t: Test, devices: readonly UsbDevice[], kernelAtMs: number): Promise<void> {
  for (const { id, tap = "" } of devices) {
    const asked = readUsbTap(await readFile(tap)).filter(({ atMs }) => atMs > kernelAtMs);
    t.ok(asked.length > 0, `control: the kernel asked "${id}" what it is`);
    t.strictSame(
      asked.filter(({ what }) => what.startsWith("configure")),
      [],
      `[LCK-7] "${id}" was never set up, so it has no interface`,
    );
  }
}

async function journalCounts(site: Site): Promise<Readonly<Record<string, number>>> {
  const schema = v.looseObject({ event: v.string(), times: v.number() });
  const all = await hubLists(site.hub, schema, "alerts", "--all", "-n", "1000");
  const times = (wanted: string): number =>
    all.filter(({ event }) => event === wanted).reduce((sum, { times }) => sum + times, 0);
  return { "device.requested": times("device.requested"), "certificate.issued": times("certificate.issued") };
}

/**
 * What a thief finds who can read the whole disk, and what it is good for. The search for keys sees
 * raw bytes, so it does not see into the roots, which are compressed. But they are only read,
 * verified, and were made before the device had a key.
 */
async function onTheDisk(
  t: Test,
  { at, factoryDisk, fingerprint }: { at: (name: string) => string; factoryDisk: string; fingerprint: string },
): Promise<void> {
  // The factory's disk has some too: `openssl speed` contains test keys in parts that squashfs
  // could not compress.
  const factory = new Set((await privateKeysIn(factoryDisk)).map((key) => JSON.stringify(key)));
  const found = (await privateKeysIn(at("disk.img"))).filter((key) => !factory.has(JSON.stringify(key)));
  t.strictSame(
    [...new Set(found.map(({ kind }) => kind))].sort(),
    ["ed25519", "tss2"],
    "[ID-4] of what was written since the factory, in files and between them, no private key that is not compressed but the warden's for its audit log, and the TPM's blob",
  );
  await takePartition(at("disk.img"), "data", at("data.img"));
  await unpackExt4(at("data.img"), at("data"));
  const state = join(at("data"), "sallyport");
  for (const [name, owner] of [
    ["sallyport", AGENT_UID],
    ["sallyport-warden", 0],
  ] as const) {
    const { mode, uid } = await stat(join(at("data"), name));
    t.same([mode & 0o7777, uid], [0o700, owner], `${name} is its owner's alone`);
  }
  t.same(
    (await readdir(state)).filter((name) => name.includes("key")),
    ["device-key.tss2.pem"],
    "one key file, made by a TPM",
  );
  const [blob, pem] = await Promise.all(["device-key.tss2.pem", "certificate.pem"].map((name) => readFile(join(state, name))));
  const certificate = new X509Certificate(pem ?? "");

  const signs = async (chip: string): Promise<void> => {
    const tpm = await startSwtpm({ directory: chip });
    try {
      const files = await linuxFiles(`${chip}-files`);
      await files.put("device-key.tss2.pem", blob ?? new Uint8Array());
      const key = await createTpmKeyStore({ files, provider: { ...(tpm2Provider() ?? { module: "" }), tcti: tpm.tcti } }).load();
      const words = randomBytes(32);
      const signature = (await key?.sign(words)) ?? new Uint8Array();
      t.equal(key?.fingerprint, fingerprint, "[ID-4] the blob is the key that was approved");
      const certified = createPublicKey(certificate.publicKey.export({ type: "spki", format: "pem" }));
      t.ok(verify("sha256", words, certified, signature), "its chip signs with it, and the certificate's public key says so");
    } finally {
      await tpm.stop();
    }
  };
  await signs(at("chip"));
  await t.rejects(signs(at("another-chip")), { code: "key.mismatch" }, "with another chip the blob is useless");
}
