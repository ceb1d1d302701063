// A factory reset of a whole gateway, whose power is cut twice during the wipe: as soon as it has
// begun, and while it writes to the EFI partition, where the birth record and the marker go. It
// boots as a new device, with the TPM taken anew, and its trail goes on.
import { test } from "tap";
import { ID } from "../lab/gateway/gateway.ts";
import { AGENT_CONNECTED, followGateway } from "../lab/gateway/followed-gateway.ts";
import { ESP } from "../lab/gateway/images.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { hubDevices, hubRecords } from "../lab/worlds/hub-cli-json.ts";

const STEP_MS_MAX = 1_200_000;
const POLL_EVERY_MS = 2000;
const ERASING = /device "[^"]+": erasing its identity and settings/u;
/** A seed for which some of the unflushed writes are kept and some are lost. */
const SEED = 39;

test(
  "[ID-57] [ID-58] [ID-59] two power cuts during the wipe of a reset",
  { skip: isLongRun() ? needs("qemu", "image", "swtpm") : "it takes ten minutes: npm run test:long", timeout: 3_600_000 },
  async (t) => {
    const { gateway, hub, owner, say, logged, said, cutAt } = await followGateway(t);
    const trail = async (event: string, count = 1): Promise<readonly string[]> =>
      await eventually(
        `"${event}" in the hub's trail`,
        async () => {
          const events = (await hubRecords(hub, ID)).map(({ record }) => record.event);
          return events.filter((found) => found === event).length >= count ? events : undefined;
        },
        STEP_MS_MAX,
        POLL_EVERY_MS,
      );
    await gateway.powerOn();
    const { fingerprint } = await hub.approve();
    await logged(AGENT_CONNECTED);
    await trail("roster.accepted");

    await hub.command("order", ID, "system.wipe", "--key", owner.keyFile, "--yes");
    await said(ERASING);
    say(`power cut as soon as the wipe has begun: ${JSON.stringify(await gateway.cut({ kind: "tear", seed: SEED }))}`);
    await gateway.powerOn();
    await said(ERASING);
    await cutAt(
      "the EFI partition",
      { kind: "tear", seed: SEED },
      ({ kind, offset }) => kind === "write" && offset >= ESP.from && offset < ESP.to,
    );
    await gateway.powerOn();

    const renewed = await eventually(
      "the request of a new key",
      async () => (await hubDevices(hub)).find((device) => device.fingerprint !== fingerprint),
      STEP_MS_MAX,
      POLL_EVERY_MS,
    );
    say(`the device asks with ${renewed.fingerprint}`);
    t.equal(renewed.id, ID);
    await hub.command("devices", "revoke", ID);
    await hub.command("devices", "approve", ID, renewed.fingerprint);
    await logged(AGENT_CONNECTED);
    const events = await trail("birth.recorded", 2);
    t.same(
      events.filter((event) => ["reset.ordered", "tpm.released", "reset.failed"].includes(event)),
      ["reset.ordered", "tpm.released"],
      events.join(" "),
    );
    t.ok(events.includes("reset.done"), "the trail of before goes on, under the same key");
    t.equal(events.filter((event) => event === "tpm.owned").length, 2);
  },
);
