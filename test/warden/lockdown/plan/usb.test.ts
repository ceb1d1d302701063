// USB devices that may work, and the steps that follow.
import * as fc from "fast-check";
import { test } from "tap";
import type { UsbDevice, UsbPort, UsbState } from "../../../../hal/ports.ts";
import { planLockdown, usbSteps } from "../../../../warden/lockdown/plan/index.ts";
import { labPolicy, labSnapshot, seen } from "../../../lab/worlds/lockdown.ts";
import { BAD_STICK, fakeUsbTree, HUB, KEYBOARD, STICK } from "../../../lab/fakes/usb-tree.ts";

const RULE = { vendor: "0951", product: "1666", interfaces: ["08:06:50"] };
const port = (name: string, peer?: string, disabled: boolean | undefined = false): UsbPort => ({ name, disabled, peer });
const tree = (devices: readonly UsbDevice[], ports: readonly UsbPort[] = []): UsbState => ({
  controllers: [{ name: "usb1", authorizedDefault: 0 }],
  ports,
  devices,
});
const verdicts = (
  usb: Readonly<Record<string, unknown>>,
  devices: readonly UsbDevice[],
  ports: readonly UsbPort[] = [],
): readonly (readonly [string, boolean, string])[] =>
  planLockdown(labPolicy({ usb }), labSnapshot({ usb: tree(devices, ports) })).usb.devices.map(
    ({ port, authorized, why }) => [port, authorized, why] as const,
  );
const allowed = (usb: Readonly<Record<string, unknown>>, device: UsbDevice): boolean | undefined =>
  verdicts(usb, [device])[0]?.[1];

test("[LCK-8] a device works only where a rule names vendor, product and exactly its interfaces", async (t) => {
  t.equal(allowed({ allow: [RULE] }, seen("1-1", STICK)), true);
  t.equal(allowed({}, seen("1-1", STICK)), false, "no rule");
  t.equal(allowed({ allow: [RULE] }, seen("1-1", BAD_STICK)), false, "a stick that is also a keyboard");
  t.equal(
    allowed({ allow: [{ ...RULE, interfaces: ["03:01:01", "08:06:50"] }] }, seen("1-1", STICK)),
    false,
    "one interface too few",
  );
  t.equal(allowed({ allow: [{ ...RULE, product: "1667" }] }, seen("1-1", STICK)), false);
  t.equal(allowed({ allow: [RULE] }, { ...seen("1-1", STICK), claims: undefined }), false, "descriptors that make no sense");
});

test("[LCK-8] serial number and port restrict a rule that names them", async (t) => {
  const serial = { allow: [{ ...RULE, serial: "60A44C413FAE" }] };
  t.equal(allowed(serial, seen("1-1", STICK)), true);
  t.equal(allowed(serial, seen("1-1", { ...STICK, serial: "60A44C413FAF" })), false);
  t.equal(
    allowed(serial, seen("1-1", { vendor: "0951", product: "1666", interfaces: ["08:06:50"] })),
    false,
    "no serial number at all",
  );
  t.equal(allowed({ allow: [{ ...RULE, port: "1-1" }] }, seen("1-1", STICK)), true);
  t.equal(allowed({ allow: [{ ...RULE, port: "1-1" }] }, seen("1-1.1", STICK)), false);
});

test("[LCK-33] of two devices with one serial number the one authorized first stays; where none was, both are refused", async (t) => {
  const usb = { allow: [{ ...RULE, serial: "60A44C413FAE" }] };
  const both = (first: boolean, second: boolean): readonly boolean[] =>
    verdicts(usb, [seen("1-1", STICK, first), seen("1-2", STICK, second, 3)]).map(([, authorized]) => authorized);
  t.same(both(true, false), [true, false]);
  t.same(both(false, true), [false, true]);
  t.same(both(false, false), [false, false]);
  t.same(both(true, true), [false, false]);
  t.same(
    verdicts({ allow: [RULE] }, [seen("1-1", STICK), seen("1-2", STICK)]).map(([, authorized]) => authorized),
    [true, true],
    "a rule for any serial number is not affected",
  );
});

test("[LCK-8] an external hub is a device like any other, and each device behind it is judged on its own", async (t) => {
  const devices = [seen("1-1", HUB), seen("1-1.2", KEYBOARD)];
  const keyboard = { vendor: "046d", product: "c31c", interfaces: ["03:00:00", "03:01:01"] };
  const hub = { vendor: "05e3", product: "0608", interfaces: ["09:00:00"] };
  t.same(
    verdicts({ allow: [keyboard] }, devices).map(([, ok]) => ok),
    [false, true],
  );
  t.same(
    verdicts({ allow: [hub] }, devices).map(([, ok]) => ok),
    [true, false],
  );
});

test("[LCK-9] a disabled port is disabled with the other half of its socket, and nothing behind it is authorized", async (t) => {
  const ports = [port("1-1", "2-1"), port("2-1", "1-1"), port("1-2")];
  const plan = planLockdown(
    labPolicy({ usb: { allow: [RULE], disable: ["1-1"] } }),
    labSnapshot({ usb: tree([seen("2-1.1", STICK), seen("1-2", STICK)], ports) }),
  );
  t.same(plan.usb.disable, ["1-1", "2-1"]);
  t.same(
    plan.usb.devices.map(({ port, authorized }) => [port, authorized]),
    [
      ["1-2", true],
      ["2-1.1", false],
    ],
  );
});

test("[LCK-72] a refusal says which part of the nearest rule does not match", async (t) => {
  const usb = {
    allow: [
      { ...RULE, serial: "60A44C413FAE", port: "1-2" },
      { ...RULE, product: "1667" },
    ],
  };
  const why = (device: UsbDevice): string =>
    (verdicts(usb, [device])[0]?.[2] ?? "").replace(/^.*?(?:; the nearest rule, |$)/u, "");
  t.equal(why(seen("1-1", STICK)), "for 0951:1666, differs: it is at 1-1, not at 1-2");
  t.equal(
    why(seen("1-2", { ...STICK, serial: "60A44C413FAF" })),
    'for 0951:1666, differs: its serial number is "60A44C413FAF", not "60A44C413FAE"',
  );
  const { serial: _, ...unnumbered } = STICK;
  t.equal(why(seen("1-2", unnumbered)), 'for 0951:1666, differs: its serial number is missing, not "60A44C413FAE"');
  t.equal(why(seen("1-2", BAD_STICK)), "for 0951:1666, differs: of the interfaces, it also has 03:01:01");
  t.equal(
    why(seen("1-4", { ...STICK, product: "1667", interfaces: ["03:01:01"] })),
    "for 0951:1667, differs: of the interfaces, it also has 03:01:01 and it lacks 08:06:50",
    "the nearest of several",
  );
  t.match(
    why(seen("1-2", KEYBOARD)),
    /^for 0951:1666, differs: it is another device; its serial number is missing/u,
    "at its port",
  );
  t.match(
    why(seen("1-9", { ...KEYBOARD, serial: "60A44C413FAE" })),
    /^for 0951:1666, differs: it is another device/u,
    "its number",
  );
  t.equal(why(seen("1-9", KEYBOARD)), "", "no rule is near");
});

test("[LCK-72] [STA-10] what a refusal says of a hostile device is printable and short", async (t) => {
  const many = Array.from({ length: 64 }, (_, n) => `03:01:${n.toString(16).padStart(2, "0")}`);
  const hostile = seen("1-2", { ...STICK, serial: `\u001b[2J\r\n${"x".repeat(120)}`, interfaces: many });
  const [[, authorized, why] = ["", true, ""]] = verdicts({ allow: [{ ...RULE, serial: "60A44C413FAE", port: "1-2" }] }, [
    hostile,
  ]);
  t.equal(authorized, false);
  t.match(why, /it also has 03:01:00 03:01:01 03:01:02 03:01:03 and 60 more/u);
  t.ok(/^[\u0020-\u007e]{1,512}$/u.test(why), why);
});

test("[LCK-7] the mode shut leaves the uplink's device and nothing else", async (t) => {
  const usb = { allow: [RULE, { vendor: "2c7c", product: "0125", interfaces: ["ff:ff:ff"], uplink: true }] };
  const plan = planLockdown(labPolicy({ mode: "shut", usb }), labSnapshot());
  t.same(
    plan.usb.allow.map((rule) => "vendor" in rule && rule.vendor),
    ["2c7c"],
  );
});

const state = fc.record({
  controllers: fc.array(
    fc.record({ name: fc.constantFrom("usb1", "usb2"), authorizedDefault: fc.constantFrom(0, 1, 2, undefined) }),
    { maxLength: 2 },
  ),
  ports: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("1-1", "1-2", "2-1", "1-1.1"),
      disabled: fc.boolean(),
      peer: fc.constantFrom(undefined, "1-1", "2-1"),
    }),
    { selector: ({ name }) => name },
  ),
  devices: fc.uniqueArray(
    fc
      .tuple(fc.constantFrom("1-1", "1-2", "2-1", "1-1.1"), fc.constantFrom(STICK, BAD_STICK, KEYBOARD, HUB), fc.boolean())
      .map(([at, device, on]) => seen(at, device, on)),
    { selector: ({ port }) => port },
  ),
});

test("[LCK-7] for any tree: steps that shut come first, nothing is left to do afterwards, and nothing is open without a rule", async (t) => {
  const rules = planLockdown(labPolicy({ usb: { allow: [RULE], disable: ["1-2"] } }), labSnapshot()).usb;
  await fc.assert(
    fc.asyncProperty(state, async (before) => {
      const usb = fakeUsbTree(before);
      const steps = usbSteps(rules, before);
      const firstOpening = steps.findIndex(
        (step) => (step.do === "set-device" && step.authorized) || (step.do === "set-port" && !step.disabled),
      );
      const lastShutting = steps.findLastIndex(
        (step) => !((step.do === "set-device" && step.authorized) || (step.do === "set-port" && !step.disabled)),
      );
      for (const step of steps) {
        if (step.do === "set-default") await usb.setDefault(step.controller, "none");
        else if (step.do === "set-port") await usb.setPort(step.port, step.disabled);
        // it went away with its port
        else await usb.setDevice(step.device, step.authorized).catch(() => undefined);
      }
      const { controllers, ports, devices } = await usb.read();
      return (
        (firstOpening < 0 || firstOpening > lastShutting) &&
        usbSteps(rules, usb.state).length === 0 &&
        controllers.every(({ authorizedDefault }) => authorizedDefault === 0) &&
        ports.every(({ name, disabled }) => name !== "1-2" || disabled === true) &&
        devices.every(
          ({ port, authorized, claims }) => !authorized || (port !== "1-2" && claims?.interfaces.join() === "08:06:50"),
        )
      );
    }),
    { numRuns: 200 },
  );
  t.pass("for all");
});

test("[LCK-33] a device that no rule authorizes does not count as a copy: it cannot displace the true one", async (t) => {
  const usb = { allow: [{ ...RULE, serial: "60A44C413FAE" }] };
  t.same(
    verdicts(usb, [seen("1-1", STICK), seen("1-2", BAD_STICK, true, 3)]).map(([, authorized]) => authorized),
    [true, false],
  );
});
