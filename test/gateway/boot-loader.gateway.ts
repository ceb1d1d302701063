// A gateway's updates through its real boot loader, in one run. The test judges by what the hub was
// told, the audit trail, the names on the EFI system partition, and the serial line.
import { test } from "tap";
import { ID } from "../lab/gateway/gateway.ts";
import { RELEASES } from "../lab/gateway/golden-image.ts";
import { followGateway, INSTALLER_STARTED, WARDEN_STARTED } from "../lab/gateway/followed-gateway.ts";
import { needs } from "../lab/runner/needs.ts";

test("updates through the real boot loader", { skip: needs("qemu", "image", "swtpm"), timeout: 3_600_000 }, async (t) => {
  const { gateway, hub, journal, logged, said, until, kernels, events } = await followGateway(t);

  await t.test(
    "[OTA-34] [OTA-35] a good release is written by the installer's unit, tried, found healthy and committed",
    async (part) => {
      await gateway.powerOn();
      await hub.approve();
      await hub.command("update", "start", ID, RELEASES.good);
      await logged(INSTALLER_STARTED);
      await logged(WARDEN_STARTED); // Of the next boot: nothing can be healthy so soon.
      part.same(await kernels(), ["gw_1_a.efi", "gw_2_b+1-1.efi"], "the boot loader has taken one of two tries");
      const status = await until("it is committed", ({ phase }) => phase === "committed");
      part.match(status, { running: "b", version: "2.0.0", slot: "b", release: { target: RELEASES.good } });
      part.same(await kernels(), ["gw_1_a.efi", "gw_2_b.efi"], "which is the new one's, for good");
      const told = ["update.begun", "update.written", "update.trying", "update.committed"];
      part.same(await events("update.committed"), told, "the hub's audit trail tells it");
      const ended = journal.filter((line) => /connection\.(?:closed|replaced)/u.test(line)).join("\n");
      part.match(ended, /"reason":"closed by the device"/u, "it said goodbye before it went");
      part.notMatch(ended, /connection\.replaced|keep alive timeout/u, "and did not just stay away");
    },
  );
  if (!t.passing()) return;

  const title = "[OTA-60] a release whose agent can't start is left again, with its reason on the serial line and at the hub";
  await t.test(title, async (part) => {
    await hub.command("update", "start", ID, RELEASES.broken);
    await logged(INSTALLER_STARTED);
    await logged(WARDEN_STARTED);
    part.same(await kernels(), ["gw_2_b.efi", "gw_3_a+1-1.efi"]);
    const line = await said(/^sallyport: device .* failed: .*(?=\n)/mu);
    part.equal(
      line,
      `sallyport: device "${ID}" slot a: sallyport-agent.service failed: exit-code 1; it said: this agent was broken on purpose`,
    );
    const status = await until("it is rolled back", ({ phase }) => phase === "rolled-back");
    part.match(status, { running: "b", version: "2.0.0", release: { target: RELEASES.broken } });
    part.match(status.reason, { why: "deadline", detail: "agent waiting (it has not greeted the warden)" });
    part.same(
      await kernels(),
      ["gw_0_a+0.efi", "gw_2_b.efi"],
      "what was committed boots; nothing leads to the broken one any more",
    );
    part.same(await events("update.rolled-back"), ["update.begun", "update.written", "update.trying", "update.rolled-back"]);
  });
});
