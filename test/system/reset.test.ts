// A factory reset of an approved board with a TPM, with real processes: ordered at the hub, wiped
// by the script at the boot, and approved again as a new device.
import { readdir } from "node:fs/promises";
import { test } from "tap";
import * as v from "valibot";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { makeKeyHolder, rosterOf } from "../lab/counterparts/operator-keys.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { connectedBoard } from "../lab/worlds/connected-board.ts";
import { birthOf, keysAtHub, verifiedTrail } from "../lab/worlds/probes.ts";

const planSchema = v.looseObject({ result: v.looseObject({ plan: v.looseObject({}) }) });

test(
  "[ID-57] [ID-58] [ID-59] a reset that the owner orders at the hub hands the TPM back, wipes the board, and it asks as a new device",
  { skip: needs("bundles", "swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const chip = await startSwtpm({ directory: await temporaryDirectory(t) });
    t.teardown(() => chip.stop());
    const machine = await connectedBoard(t, {
      tpm: chip.tcti,
      wardenConfig: { tpm: { tcti: chip.tcti, ownership: "take" } },
    });
    const { rig, id, launcher } = machine;
    const [ada, tom] = [await makeKeyHolder(rig.directory, "ada"), await makeKeyHolder(rig.directory, "tom")];
    const roster = rosterOf({ holder: ada, roles: ["owner"] }, { holder: tom, roles: ["maintainer"] });
    await rig.release.target("operators/roster.json", roster);
    await machine.publish();
    await machine.recorded("the roster is taken", ({ event }) => event === "roster.accepted");
    const born = await birthOf(rig);
    t.match(born, { protection: "tpm" });
    t.match(v.parse(planSchema, JSON.parse(await rig.hub.command("ask", id, "reset.plan", "--json"))).result.plan, {
      deviceId: id,
      identity: { protection: "tpm", keyFingerprint: born?.keyFingerprint },
      chip: "ours",
    });

    const order = (key: string) => rig.hub.command("order", id, "system.wipe", "--key", key, "--yes", "--reason", "sold");
    await t.rejects(order(tom.keyFile), { message: /order\.denied/u }, "a maintainer may not");
    await order(ada.keyFile);
    t.match(await launcher.booted(2), { slot: "a", after: /factory reset, ordered by ada/u });

    const renewed = await eventually("the new request at the hub", async () => {
      const keys = await keysAtHub(rig, id);
      return keys.find((key) => key !== born?.keyFingerprint);
    });
    const birth = await eventually("the new birth record", () => birthOf(rig));
    t.match(birth, { id, protection: "tpm", keyFingerprint: renewed });
    const kept = await readdir(rig.board.wardenState, { recursive: true });
    for (const name of ["operators.taken", "policy.taken", "lockdown/lockdown.json", "reset.json", "reset.wiped"])
      t.notOk(
        kept.some((path) => path.endsWith(name)),
        `${name} is gone`,
      );
    t.ok(kept.includes("targets/timestamp.json"), "an older repository is still refused");
    t.same(await readdir(rig.board.birth), ["birth.json"]);

    await rig.hub.command("devices", "revoke", id);
    await rig.hub.command("devices", "approve", id, renewed);
    await machine.statusWhen("the tunnel of the new identity", ({ life }) => life === "connected");
    const trail = await verifiedTrail(rig, id, ["reset.done"]);
    const events = trail.map(({ event }) => event);
    const story = [
      "birth.recorded",
      "order.accepted",
      "reset.ordered",
      "tpm.released",
      "system.rebooting",
      "reset.done",
      "birth.recorded",
    ];
    t.same(storyIn(events, story), story, events.join(" "));
    t.match(
      trail.find(({ event }) => event === "reset.ordered"),
      { principal: "ada", detail: { keyFingerprint: born?.keyFingerprint } },
    );
    t.match(
      trail.find(({ event }) => event === "reset.done"),
      { result: "ok", detail: { left: 0, chip: "handed back" } },
    );
    t.equal(events.filter((event) => event === "tpm.owned").length, 2, "the new device has taken the TPM anew");
  },
);

/** The part of `story` that is in `events`, in order. */
function storyIn(events: readonly string[], story: readonly string[]): readonly string[] {
  let from = 0;
  return story.filter((event) => {
    const at = events.indexOf(event, from);
    if (at === -1) return false;
    from = at + 1;
    return true;
  });
}
