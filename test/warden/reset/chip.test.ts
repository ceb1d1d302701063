// A whole warden and a real TPM around a reset: what it has handed back is not taken again before
// the wipe, and is taken after it.
import { test } from "tap";
import { linuxTpmChip } from "../../../hal/linux/index.ts";
import { canonicalJson } from "../../../hal/format/json.ts";
import { startSwtpm } from "../../lab/counterparts/swtpm.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { filesInMemory, recordsIn, wholeWarden } from "../../lab/worlds/whole-warden.ts";

const ORDER = { by: "ada@acme", planHash: `sha256:${"ab".repeat(32)}` };

test(
  "[ID-58] [ID-52] after a power cut between handing back and wiping, the TPM stays nobody's; the wiped device takes it",
  { skip: needs("swtpm") },
  async (t) => {
    const swtpm = await startSwtpm({ directory: await temporaryDirectory(t) });
    t.teardown(() => swtpm.stop());
    const world = wholeWarden(t);
    world.tpm = linuxTpmChip({ tcti: swtpm.tcti });
    const files = filesInMemory();
    const record = { at: "released", chip: { handedBack: true }, order: ORDER, readable: 1, v: 1 };
    files.state.contents.set("reset.json", Buffer.from(canonicalJson(record)));

    const cut = await world.start(files);
    t.match((await cut.ask("status.read", {})).result, {
      tpm: { present: true, ownership: "nobody" },
      troubles: [{ code: "reset.under-way" }],
    });
    await eventually("the marker", async () => files.birth.contents.get("reset"));
    t.notOk(files.state.contents.has("tpm.json"), "no password is made that the wipe would destroy");
    await cut.stop();

    // the boot: the script wipes
    files.birth.contents.clear();
    files.state.contents.set("reset.wiped", Buffer.from("left 0\nfree discarded\n"));
    const wiped = await world.start(files);
    t.match((await wiped.ask("status.read", {})).result, { tpm: { present: true, ownership: "ours" } });
    await eventually("the end in the trail", async () => (files.state.contents.has("reset.json") ? undefined : true));
    t.match(
      recordsIn(files.audit)
        .filter(({ event }) => event.startsWith("reset.") || event.startsWith("tpm."))
        .map(({ event }) => event)
        .toSorted(),
      ["reset.done", "tpm.owned"],
    );
    t.match((await wiped.ask("reset.plan", {})).result, { plan: { chip: "ours", identity: null } });
    await wiped.stop();
  },
);
