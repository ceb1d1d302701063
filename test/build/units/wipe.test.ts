// The wipe of a factory reset: the script that runs before the programs, on files as they lie on a
// gateway, with the power cut at every command that it starts.
import { spawnSync } from "node:child_process";
import { link, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test, type Test } from "tap";
import { isLongRun } from "../../lab/runner/long-run.ts";
import { needs } from "../../lab/runner/needs.ts";
import { canonicalJson } from "../../../hal/format/json.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { settingsOf, UNITS } from "../../lab/runner/units.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { HANG_MS } from "../../lab/runner/process.ts";

const skip = needs("mounts");
const SCRIPT = `${UNITS}/usr/lib/sallyport/wipe-state`;
const FLOORS = '{"lines":{"os":{"committed":7,"floor":6}},"readable":1,"serial":1,"v":1}';
const BIRTH = '{"id":"GW-0001","keyFingerprint":"x","protection":"file","source":"serial","v":1}';

/** What must be there afterwards, with its content. */
const KEPT: Readonly<Record<string, string>> = {
  "var/lib/sallyport-warden/audit/segment-0-0000000000": "records",
  "var/lib/sallyport-warden/audit-key.pem": "audit key",
  "var/lib/sallyport-warden/audit-key-1.pem": "audit key of epoch 1",
  "var/lib/sallyport-warden/audit-closed.note": "note",
  "var/lib/sallyport-warden/audit-pending.json": "{}",
  "var/lib/sallyport-warden/witnessed.note": "note",
  "var/lib/sallyport-warden/update/floors.json": FLOORS,
  "var/lib/sallyport-warden/update/update.json": "update",
  "var/lib/sallyport-warden/.aside-update/floors.json": FLOORS,
  "var/lib/sallyport-warden/targets/root.json": "root",
  "var/lib/sallyport-warden/targets/timestamp.json": "timestamp",
  "var/lib/sallyport-warden/reset.json": "record",
  // what opens a TPM that was not handed back [ID-58]
  "var/lib/sallyport-warden/tpm.json": "passwords",
  "var/lib/sallyport-warden/tpm-aside.json": "passwords",
  // which only the owner's key opens; the next one must be later [ID-55]
  "var/lib/sallyport-warden/tpm-escrow.json": "sealed passwords",
  "var/lib/another/file": "not ours",
  "boot/EFI/Linux/gw_1_a.efi": "kernel",
};

/** What must be gone. */
const GONE: Readonly<Record<string, string>> = {
  "var/lib/sallyport/device-key.pem": "SECRET",
  "var/lib/sallyport/.new-device-key.pem": "SECRET",
  "var/lib/sallyport/device-key.sealed.pem": "SECRET",
  "var/lib/sallyport/device-key.tss2.pem": "SECRET",
  "var/lib/sallyport/key-upgrade.json": "{}",
  "var/lib/sallyport/certificate-upgrade.pem": "certificate",
  "var/lib/sallyport/..strange": "SECRET",
  "var/lib/sallyport/two words/and\na line": "SECRET",
  "var/lib/sallyport/spool/0001": "message",
  "var/lib/sallyport-handover/drop": "chunk",
  "var/lib/sallyport-warden/birth-told": "x",
  "var/lib/sallyport-warden/key-grant.json": "{}",
  "var/lib/sallyport-warden/tpm-restore.json": "passwords",
  "var/lib/sallyport-warden/clock.json": "{}",
  "var/lib/sallyport-warden/lockdown/lockdown.json": "policy",
  "var/lib/sallyport-warden/dead-man/fired-1.nft": "table",
  "var/lib/sallyport-warden/targets/operators.taken": "roster",
  "var/lib/sallyport-warden/targets/policy.taken": "policy",
  "var/lib/sallyport-warden/update/approved.json": "approval",
  "var/lib/sallyport-warden/what-a-later-release-keeps": "unknown",
  "boot/sallyport/birth.json": BIRTH,
  // of a key that was upgraded [ID-67]
  "boot/sallyport/birth-sealed.json": BIRTH,
  "boot/sallyport/birth-tpm.json": BIRTH,
};

interface Machine {
  readonly root: string;
  /** @param cutAt the command, counted from 1, at which the power goes. */
  readonly wipe: (cutAt?: number, env?: Readonly<Record<string, string>>) => { readonly status: number | null };
  readonly files: () => Promise<readonly string[]>;
  readonly read: (path: string) => Promise<string>;
  readonly said: () => Promise<string>;
  /** How many commands the last run started. */
  readonly commands: () => Promise<number>;
}

/** Those that change what is on the disk. */
const COMMANDS = ["dd", "find", "fstrim", "mv", "rm", "sync"];

/**
 * A device before its wipe. `FAIL` names a command that fails; with `OWN` the data lie in a file
 * system of their own.
 * @param fstrim the script that plays it: this machine's own disk is left alone.
 */
async function machine(t: TestContext, marker = "wipe\n", fstrim = "exit 0"): Promise<Machine> {
  const [root, tools] = [await temporaryDirectory(t), await temporaryDirectory(t)];
  for (const [path, content] of Object.entries({ ...KEPT, ...GONE })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  await writeFile(join(root, "boot/sallyport/reset"), marker);
  await writeFile(join(tools, "shred"), '#!/bin/sh\n[ -z "$QUICK" ] || exit 0\nexec /usr/bin/shred "$@"\n', { mode: 0o755 });
  for (const command of COMMANDS) {
    // a sync is worth something on a whole gateway; here it would only wait for a disk
    const played: Readonly<Record<string, string>> = { fstrim, sync: "exit 0" };
    const keep = 'for path; do [ "$path" != "${KEEP:-}" ] || exit 1; done';
    const real = played[command] ?? `${keep}\nexec "/usr/bin/${command}" "$@"`;
    const counted = `read -r n < ${tools}/count; n=$((n + 1)); echo $n > ${tools}/count`;
    const cut = `if [ "$n" = "$CUT" ]; then read -r pid < ${tools}/pid; kill -9 "$pid"; exit 1; fi`;
    const fail = `[ "\${FAIL:-}" != ${command} ] || exit 1`;
    await writeFile(join(tools, command), `#!/bin/sh\n${counted}\n${cut}\n${fail}\n${real}\n`, { mode: 0o755 });
  }
  const start = `echo $$ > ${tools}/pid; echo 0 > ${tools}/count; : > ${tools}/console; exec /bin/sh ${SCRIPT}`;
  // a small file system of the device's own, which ends with the namespace
  const mounted = [
    `mkdir ${root}/copy && mv ${root}/var/lib/* ${root}/copy && mount -t tmpfs -o size=1m none ${root}/var/lib`,
    `cp -r ${root}/copy/* ${root}/var/lib && mkdir ${root}/var/lib/lost+found && : > ${root}/var/lib/lost+found/1`,
    `/bin/sh -c '${start}' && cat ${root}/${RESULT} > ${root}/result`,
    `find ${root}/var/lib -name .fill -o -path '*/lost+found/*' | wc -l > ${root}/content`,
  ].join(" && ");
  return {
    root,
    wipe: (cutAt = 0, env = {}) =>
      spawnSync(
        env["OWN"] === undefined ? "/bin/sh" : "unshare",
        env["OWN"] === undefined ? ["-c", start] : ["-m", "/bin/sh", "-c", mounted],
        {
          env: {
            PATH: `${tools}:/usr/bin:/bin`,
            CUT: String(cutAt),
            SALLYPORT_ROOT: root,
            SALLYPORT_CONSOLE: join(tools, "console"),
            ...env,
          },
          timeout: HANG_MS,
        },
      ),
    files: async () => {
      const entries = await readdir(root, { recursive: true, withFileTypes: true });
      return entries
        .flatMap((entry) => (entry.isDirectory() ? [] : [join(entry.parentPath, entry.name).slice(root.length + 1)]))
        .toSorted();
    },
    read: (path) => readFile(join(root, path), "utf8"),
    said: () => readFile(join(tools, "console"), "utf8"),
    commands: async () => Number(await readFile(join(tools, "count"), "utf8")),
  };
}

/** Without overwriting, which waits for this machine's disk file by file. */
const QUICK = { QUICK: "1" };
const RESULT = "var/lib/sallyport-warden/reset.wiped";

async function expectWiped(t: Test, device: Machine, label: string, result = "left 0\nfree discarded\n"): Promise<void> {
  t.same(await device.files(), [...Object.keys(KEPT), RESULT].toSorted(), label);
  for (const [path, content] of Object.entries(KEPT)) t.equal(await device.read(path), content, `${label}: ${path}`);
  t.equal(await device.read(RESULT), result, label);
}

test("[ID-59] [OTA-36] the wipe destroys everything but floors, metadata, trail and slots, and the marker last", async (t) => {
  const device = await machine(t);
  t.equal(device.wipe().status, 0);
  await expectWiped(t, device, "wiped");
  t.match(await device.said(), /device "GW-0001": was reset, starts as from the factory\r\n$/u);
  t.same((await readdir(join(device.root, "var/lib/sallyport"))).length, 0, "the directory itself stays, with its owner");
  const before = await device.commands();
  t.ok(before > 10);
  t.equal(device.wipe().status, 0);
  t.equal(await device.commands(), 0, "without a marker nothing is done");
});

test("[ID-59] [STA-1] wherever the power is cut, the next boot finishes the wipe, and nothing that must survive is lost", async (t) => {
  const whole = await machine(t);
  whole.wipe(0, QUICK);
  const last = await whole.commands();
  for (let cutAt = 1; cutAt <= last; cutAt++) {
    // The last ones decide what is left; of the others every third is enough outside the long run.
    if (!isLongRun() && cutAt <= last - 6 && cutAt % 3 !== 1) continue;
    const device = await machine(t);
    t.equal(device.wipe(cutAt, QUICK).status, null, "it was killed");
    for (const [path, content] of Object.entries(KEPT)) t.equal(await device.read(path), content, `cut ${cutAt}: ${path}`);
    const files = await device.files();
    const isMarked = files.includes("boot/sallyport/reset");
    if (!isMarked) t.ok(cutAt > last - 3, `cut ${cutAt}: the marker is the last thing that goes`);
    if (!files.includes("boot/sallyport/birth-tpm.json"))
      t.ok(files.includes(RESULT), `cut ${cutAt}: the birth record goes after all else`);
    t.equal(device.wipe(0, QUICK).status, 0);
    await expectWiped(t, device, `cut ${cutAt}`);
  }
});

test("[ID-59] without a marker, or with one without bytes that a power cut left, nothing is touched", async (t) => {
  const device = await machine(t, "");
  const before = await device.files();
  t.equal(device.wipe().status, 0);
  t.same(await device.files(), before);
  await rm(join(device.root, "boot/sallyport/reset"));
  t.equal(device.wipe().status, 0);
  t.equal(await device.read("var/lib/sallyport/device-key.pem"), "SECRET");
  t.equal(await device.said(), "");
});

test("[ID-59] files are overwritten before their names go, and no link leads the wipe elsewhere", async (t) => {
  const device = await machine(t);
  const witness = join(device.root, "hard-link");
  await link(join(device.root, "var/lib/sallyport/device-key.pem"), witness);
  const outside = join(device.root, "var/lib/another");
  await symlink(outside, join(device.root, "var/lib/sallyport/directory-link"));
  await symlink(join(outside, "file"), join(device.root, "var/lib/sallyport/file-link"));
  await symlink("/nowhere", join(device.root, "var/lib/sallyport-warden/dangling"));
  t.equal(device.wipe().status, 0);
  t.notMatch(await readFile(witness, "latin1"), /SECRET/u, "its bytes were overwritten");
  await rm(witness);
  await expectWiped(t, device, "with links");
});

test("[ID-59] other directories, as their configurations name them, are wiped, and missing ones are no fault", async (t) => {
  const device = await machine(t);
  for (const path of ["srv/agent/key.pem", "srv/birth/birth.json", "srv/birth/reset"]) {
    await mkdir(dirname(join(device.root, path)), { recursive: true });
    await writeFile(join(device.root, path), "SECRET");
  }
  const env = { SALLYPORT_STATE: "/srv/agent", SALLYPORT_BIRTH: "/srv/birth", SALLYPORT_WARDEN_STATE: "/srv/none" };
  t.equal(device.wipe(0, env).status, 0);
  const files = await device.files();
  t.same(
    files.filter((path) => path.startsWith("srv/")),
    [],
  );
  t.ok(files.includes("var/lib/sallyport/device-key.pem"), "another directory is left alone");
});

test("[ID-58] [ID-59] former passwords of the TPM go where it was handed back, and stay where it was not", async (t) => {
  const [record, aside] = ["var/lib/sallyport-warden/reset.json", "var/lib/sallyport-warden/tpm-aside.json"];
  for (const handedBack of [true, false]) {
    const device = await machine(t);
    const chip = { handedBack, ...(handedBack ? {} : { code: "tpm.timeout" }) };
    await writeFile(join(device.root, record), canonicalJson({ at: "marked", chip, readable: 1, v: 1 }));
    t.equal(device.wipe(0, QUICK).status, 0);
    t.equal((await device.files()).includes(aside), !handedBack);
  }
});

test("[ID-59] a record of an upgraded key that cannot be removed is said, and the marker stays", async (t) => {
  const device = await machine(t);
  const record = join(device.root, "boot/sallyport/birth-tpm.json");
  t.equal(device.wipe(0, { ...QUICK, KEEP: record }).status, 1);
  t.match(await device.said(), /its birth record cannot be removed; the reset is not done/u);
  t.equal(device.wipe(0, QUICK).status, 0);
  await expectWiped(t, device, "afterwards");
});

test("[ID-59] a partition that takes no writes is said on the console, and the marker stays for the next boot", async (t) => {
  for (const [tool, words] of [
    ["mv", /its data partition cannot be written; the reset is not done/u],
    ["sync", /its data partition cannot be written; the reset is not done/u],
  ] as const) {
    const device = await machine(t);
    t.equal(device.wipe(0, { FAIL: tool }).status, 1);
    t.match(await device.said(), words);
    t.equal(await device.read("boot/sallyport/birth.json"), BIRTH, "the identity's record is there as long as the rest may be");
    t.equal(device.wipe().status, 0);
    await expectWiped(t, device, tool);
  }
});

test(
  "[ID-59] free blocks are overwritten where the disk takes no discards, but on the device's own file system only",
  { skip },
  async (t) => {
    const shared = await machine(t, "wipe\n", "exit 1");
    t.equal(shared.wipe().status, 0);
    await expectWiped(t, shared, "a directory of somebody's disk", "left 0\nfree untouched\n");
    const device = await machine(t, "wipe\n", "exit 1");
    t.equal(device.wipe(0, { OWN: "1" }).status, 0);
    t.equal(await device.read("result"), "left 0\nfree overwritten\n");
    t.equal(await device.read("content"), "0\n", "no file is left that fills the disk, and lost+found is empty");
  },
);

test("[ID-59] [OPS-28] the programs wait for the wipe, which no later start of theirs repeats", async (t) => {
  for (const unit of ["sallyport-agent.service", "sallyport-warden.service"]) {
    t.match(settingsOf(unit), /^After=.*sallyport-reset\.service/mu, unit);
    t.notMatch(settingsOf(unit), /^(?:Wants|Requires|BindsTo|PartOf)=.*sallyport-reset/mu, `${unit}: a restart in the same boot`);
  }
  const reset = settingsOf("sallyport-reset.service");
  t.match(reset, /^Before=sallyport-warden\.service sallyport-agent\.service$/mu);
  t.match(reset, /^WantedBy=sysinit\.target$/mu);
  t.match(reset, /^RequiresMountsFor=\/var\/lib\/sallyport-warden \/boot$/mu);
});
