// A warden as a process of its own, without an agent: sticks are plugged into its board.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { policyBytes } from "../../lab/worlds/lockdown.ts";
import { until } from "../../lab/worlds/lockdown-service.ts";
import { BAD_STICK, fakeKernel, STICK } from "../../lab/fakes/usb-tree.ts";
import { labWarden, verifiedLog } from "../../lab/worlds/warden.ts";

test("[LCK-7] [LCK-8] [LCK-14] a running warden judges plugged devices: a refused one gets 0, an allowed one 1, and each has one record", async (t) => {
  const lab = await labWarden(t);
  const policy = join(lab.board.etc, "base.json");
  writeFileSync(policy, policyBytes({ usb: { allow: [{ vendor: "0951", product: "1666", interfaces: ["08:06:50"] }] } }));
  const config: unknown = JSON.parse(readFileSync(lab.configFile, "utf8"));
  writeFileSync(lab.configFile, JSON.stringify({ ...Object(config), basePolicy: policy }));
  const kernel = fakeKernel(lab.board.root);
  kernel.addController(2, 2, "1"); // authorizes every device until the warden starts
  kernel.plug("2-1", BAD_STICK);
  t.equal(kernel.read("2-1/authorized"), "1");
  await lab.start();
  t.equal(kernel.read("usb2/authorized_default"), "0");
  t.equal(kernel.read("2-1/authorized"), "0", "deauthorized before the warden listens");
  kernel.plug("2-2", STICK);
  await until("the stick works", () => kernel.read("2-2/authorized") === "1");
  const client = lab.client();
  await client.call("lockdown.read", {});
  const usb = async (): Promise<readonly string[]> =>
    (await verifiedLog(client)).flatMap(({ event, detail }) =>
      event.startsWith("usb.") ? [`${event} ${detail?.["port"]?.toString() ?? ""}`] : [],
    );
  await until("both are recorded", async () => (await usb()).length === 2);
  t.same(await usb(), ["usb.refused 2-1", "usb.allowed 2-2"]);
  t.match((await client.call("status.read", {})).lockdown, { at: "base", unenforced: [/packet filter/u] });
});
