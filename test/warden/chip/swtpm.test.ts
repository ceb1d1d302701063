// A whole warden that owns a real TPM: the chip is taken away, swapped and cleared behind its back.
// [ID-70] [ID-72] [ID-73]
import { test } from "tap";
import * as v from "valibot";
import { linuxTpmChip } from "../../../hal/linux/chip/index.ts";
import { linuxChipReader } from "../../../hal/linux/keys/index.ts";
import { startSwtpm, type Swtpm } from "../../lab/counterparts/swtpm.ts";
import { openTpm2Tools } from "../../lab/counterparts/tpm2-tools.ts";
import { needs } from "../../lab/runner/needs.ts";
import { tpmStateSchema } from "../../../warden/tpm/format.ts";
import { filesInMemory, type RunningWarden, wholeWarden } from "../../lab/worlds/whole-warden.ts";

const KEY = `sha256:${"a".repeat(64)}`;

async function statusOf(warden: RunningWarden): Promise<Readonly<Record<string, unknown>>> {
  return (await warden.ask("status.read", {})).result ?? {};
}

test(
  "[ID-70] [ID-72] [ID-73] the warden finds its TPM gone, another one and a cleared one, takes none of them, and opens the doors for its own",
  { skip: needs("swtpm", "tpm2-tools") },
  async (t) => {
    const world = wholeWarden(t);
    const files = filesInMemory();
    const own = await startSwtpm();
    t.teardown(() => own.stop());
    const other = await startSwtpm();
    t.teardown(() => other.stop());
    const plug = ({ tcti }: Pick<Swtpm, "tcti">): void => {
      world.chip = linuxChipReader(tcti);
      world.tpm = linuxTpmChip({ tcti });
    };

    plug(own);
    const first = await world.start(files);
    const { tpm } = await statusOf(first);
    t.match(tpm, { ownership: "ours", clear: "forbidden", storage: /^000b/u, endorsement: /^000b/u });
    const { storage, endorsement } = v.parse(tpmStateSchema, tpm);
    await first.ask("birth.record", { protection: "tpm", keyFingerprint: KEY, chip: { storage, endorsement } });
    const born = Buffer.from(files.birth.contents.get("birth.json") ?? []).toString();
    await first.stop();

    const startOn = async (what: string, code: string, words: RegExp): Promise<void> => {
      const warden = await world.start(files);
      await world.clock.advance(12_000);
      const { lockdown, troubles, tpm: now } = await statusOf(warden);
      t.match(lockdown, { held: code }, what);
      t.match(JSON.stringify(troubles), words, what);
      t.notMatch(now, { ownership: "ours" }, `${what}: it is not taken`);
      t.notMatch(world.firewall.table, /8080/u, what);
      t.equal(Buffer.from(files.birth.contents.get("birth.json") ?? []).toString(), born, what);
      await warden.stop();
    };
    plug({ tcti: "swtpm:host=127.0.0.1,port=1" });
    await startOn("no TPM", "key.tpm-missing", /TPM missing/u);
    plug(other);
    await startOn("another TPM", "key.not-this-board", /not this board/u);

    plug(own);
    const back = await world.start(files);
    t.match(await statusOf(back), { lockdown: { at: "base", held: undefined }, tpm: { ownership: "ours" } });
    t.match(world.firewall.table, /8080/u, "with its own TPM the doors are open");
    await back.stop();

    await using tools = await openTpm2Tools(own);
    await tools.run("clearcontrol", "-C", "p", "c");
    await tools.run("clear", "-c", "p");
    await startOn("a cleared TPM", "key.tpm-cleared", /TPM cleared/u);
  },
);
