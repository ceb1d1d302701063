// The state directory of the running program: locked, read-only, full, or tampered with.
import { readFileSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { type LabWarden, labWarden, outcomeOf, verifiedLog } from "../lab/worlds/warden.ts";

test("[STA-3] a second warden on the same state is refused with the pid of the first, which goes on", async (t) => {
  const lab = await labWarden(t);
  const first = await lab.start();
  const { code, text } = await outcomeOf(lab.launch());
  t.equal(code, 1);
  t.match(text, `held by pid ${first.pid}`);
  t.match(text, "lock.held");
  t.match(await lab.client().call("identity.read", {}), { identity: { id: "GW-4711", source: "serial" } });
});

test("[AUD-23] a log that was changed while the warden was down is reported in status and log and set aside, and the machine goes on", async (t) => {
  const lab = await labWarden(t);
  await lab.start().then((warden) => warden.stop());
  const folder = join(lab.board.wardenState, "audit");
  const [segment = ""] = (await readdir(folder)).filter((name) => readFileSync(join(folder, name)).includes("warden.started"));
  const bytes = readFileSync(join(folder, segment));
  const at = bytes.indexOf("warden.started");
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(join(folder, segment), bytes);
  await lab.start();
  const client = lab.client();
  t.match(await client.call("status.read", {}), { troubles: [{ code: "audit.tampered" }] });
  const log = await verifiedLog(client);
  t.match(
    log.find(({ event }) => event === "audit.tampered"),
    { source: "warden" },
  );
  t.ok(readFileSync(join(folder, segment)).equals(bytes), "the evidence is left as it was found");
});

const REMOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"';
const TINY = 'mount -t tmpfs -o size=4k,mode=700 none "$0" && exec "$@"';

test("[STA-50] a warden with a read-only state directory runs, and says so", { skip: needs("root") }, async (t) => {
  const lab = await labWarden(t);
  const warden = lab.launch(inNamespace(lab, REMOUNT));
  await warden.line(/file\.read-only.*\/var\/warden/u);
  await warden.line(/listening|serving|ready/iu);
  t.same(await warden.stop(), { code: 0, signal: null });
});

test("[STA-1] a full disk at the first start is one clear fault with exit code 1", { skip: needs("root") }, async (t) => {
  const lab = await labWarden(t);
  t.match(await outcomeOf(lab.launch(inNamespace(lab, TINY))), { code: 1, text: /file\.no-space.*\/var\/warden/u });
});

function inNamespace(lab: LabWarden, script: string): readonly string[] {
  return ["unshare", "-m", "sh", "-c", script, lab.board.wardenState];
}
