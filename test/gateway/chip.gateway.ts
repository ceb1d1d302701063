// A gateway that is enrolled with its key in its TPM, and whose disk is then switched on without
// that TPM: in another board, with the TPM taken out, and (in the long run) with the TPM cleared.
// Each time it says so on the cable, has its doors shut and makes nothing new; with its own TPM it
// is well again. The power is cut each time. The long run is
// `SALLYPORT_TESTS=long npm run test:gateway -- test/gateway/chip.gateway.ts`.
import { type Test, test } from "tap";
import { fingerprintSchema } from "../../hal/format/identity.ts";
import { check } from "../../hal/format/schema.ts";
import type { AuditRecord } from "../../warden/audit/format/index.ts";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { openTpm2Tools } from "../lab/counterparts/tpm2-tools.ts";
import { type Board, ID } from "../lab/gateway/gateway.ts";
import { AGENT_CONNECTED } from "../lab/gateway/followed-gateway.ts";
import { openSite, type Site } from "../lab/gateway/site.ts";
import { type HubDevice, hubDevices, hubRecords } from "../lab/worlds/hub-cli-json.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";

const BOOT_MS_MAX = 400_000;
const STEP_MS_MAX = 150_000;
const LOOK_EVERY_MS = 1000;
const PROMPT = `\n${ID}> `;

interface Variant {
  readonly what: string;
  readonly board: Board;
  readonly words: string;
  readonly code: string;
}

const MOVED: Variant = {
  what: "its disk in another board, with another serial number and another TPM",
  board: { tpm: "other", serialNumber: "GW-LAB-0002" },
  words: "not this board",
  code: "key.not-this-board",
};
const REMOVED: Variant = {
  what: "its TPM taken out",
  board: { tpm: "none" },
  words: "TPM missing",
  code: "key.tpm-missing",
};
const CLEARED: Variant = { what: "its TPM cleared", board: {}, words: "TPM cleared", code: "key.tpm-cleared" };

test(
  "[ID-70] [ID-72] [ID-73] a gateway that was born in its TPM is shut and says why wherever that TPM is not, and is well again with it",
  { skip: needs("qemu", "image", "swtpm", "tpm2-tools"), timeout: 1_500_000 },
  async (t) => {
    const site = await openSite({ say: (line) => t.comment(line), processors: 1 });
    t.teardown(() => site.stop());
    const { gateway, hub } = site;
    const started = performance.now();
    const say = (line: string): void => t.comment(`${Math.round((performance.now() - started) / 1000)} s: ${line}`);

    say("first power-on");
    await gateway.powerOn();
    await hub.approve(BOOT_MS_MAX);
    const fingerprint = check(fingerprintSchema, (await connected(site)).fingerprint, "fingerprint");
    const born = await statusOnCable(site, "CONNECTED");
    t.match(born, /^key +in the TPM$/mu);
    t.match(born, fingerprint);
    await gateway.cut();

    // its own TPM comes after both in the short run, and after each in the long one
    for (const variants of isLongRun() ? [[MOVED], [REMOVED], [MOVED, REMOVED]] : [[MOVED, REMOVED]]) {
      for (const variant of variants) await switchedOn(t, site, variant, { fingerprint, say });
      say("its own TPM again");
      await gateway.powerOn();
      t.equal((await connected(site)).fingerprint, fingerprint, "[ID-6] the same key connects again");
      const well = await statusOnCable(site, "CONNECTED");
      t.match(well, /^policy +the image's own is in force$/mu, "[ID-72] and its doors are open");
      t.match(well, /^trouble none$/mu);
      for (const { code } of variants) await recorded(t, site, code);
      await gateway.cut();
    }
    if (isLongRun()) {
      await clear(site);
      await switchedOn(t, site, CLEARED, { fingerprint, say });
    }
    t.same(
      (await hubDevices(hub)).map(({ id, state, fingerprint: known }) => [id, state, known]),
      [[ID, "approved", fingerprint]],
      "[ID-6] the hub has seen one device with one key",
    );
  },
);

/** Switches it on as `variant` says, sees that it is shut, and cuts the power. */
async function switchedOn(
  t: Test,
  site: Site,
  { what, board, words }: Variant,
  { fingerprint, say }: { readonly fingerprint: string; readonly say: (line: string) => void },
): Promise<void> {
  say(what);
  await site.gateway.powerOn([], board);
  await shutFor(t, site, words, fingerprint);
  await site.gateway.cut();
}

/** Waits until it says by itself what is the matter, then looks at it as a stranger could. */
async function shutFor(t: Test, site: Site, words: string, fingerprint: string): Promise<void> {
  const { gateway } = site;
  await gateway.waitFor(new RegExp(`${ID}: ATTENTION: ${words}`, "u"), BOOT_MS_MAX);
  t.pass(`[ID-73] "${words}" is on the cable without a key pressed`);
  const status = await eventually(
    "the warden is sure too",
    async () => {
      const said = await statusOnCable(site, "[A-Z]+");
      return said.includes(`SHUT: ${words}`) ? said : undefined;
    },
    STEP_MS_MAX,
    LOOK_EVERY_MS,
  );
  t.match(status, new RegExp(`^policy +SHUT: ${words}`, "mu"), "[ID-72] by the warden's status, the doors are shut");
  t.match(status, new RegExp(`^key +NOT USABLE: ${words}`, "mu"));
  t.match(status, fingerprint, "[ID-6] and the birth record is that of its own key");
}

async function statusOnCable({ gateway }: Site, life: string): Promise<string> {
  gateway.type("\r");
  await gateway.waitFor(new RegExp(PROMPT, "u"), STEP_MS_MAX);
  gateway.type("status\r");
  const [said] = await gateway.waitFor(new RegExp(`: ${life} [\\s\\S]*?${PROMPT}`, "u"), STEP_MS_MAX);
  return said;
}

/** @returns the device as the hub has it, once the gateway says that it is connected. */
async function connected({ gateway, hub }: Site): Promise<HubDevice> {
  await gateway.log.waitFor(AGENT_CONNECTED, BOOT_MS_MAX);
  return await eventually("the device at the hub", async () => (await hubDevices(hub))[0], STEP_MS_MAX, LOOK_EVERY_MS);
}

/** The trail came to the hub once the device could connect. */
async function recorded(t: Test, { hub }: Site, code: string): Promise<void> {
  const records = await eventually(
    `"${code}" in the hub's trail`,
    async () => {
      const all = (await hubRecords(hub, ID)).map(({ record }) => record);
      return all.some((record) => isLost(record, code)) ? all : undefined;
    },
    STEP_MS_MAX,
    LOOK_EVERY_MS,
  );
  const lost = records.findLast((record) => isLost(record, code));
  const applied = records.filter((record) => record.boot === lost?.boot && record.event === "lockdown.enforced");
  t.ok(applied.length > 0);
  t.ok(
    applied.every(({ detail }) => detail?.["mode"] === "shut"),
    `[ID-72] at ${code}, nothing was put in force in that boot that was not shut`,
  );
  t.equal(records.filter(({ event }) => event === "key.created").length, 1, "[ID-73] one key was made, ever");
}

function isLost({ event, detail }: AuditRecord, code: string): boolean {
  return event === "chip.lost" && detail?.["code"] === code;
}

/** As the firmware's set-up does. */
async function clear({ gateway }: Site): Promise<void> {
  const chip = await startSwtpm({ directory: gateway.tpmDirectory });
  try {
    await using tools = await openTpm2Tools(chip);
    await tools.run("clearcontrol", "-C", "p", "c");
    await tools.run("clear", "-c", "p");
    await tools.run("shutdown", "-c");
  } finally {
    await chip.stop();
  }
}
