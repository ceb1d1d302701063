// The whole way of the TPM's passwords, with the programs as processes and a real chip: taken,
// escrowed with the hub, lost with the warden's state, and put back by the owner.
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../hal/fault.ts";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { escrowOwner } from "../lab/worlds/escrow.ts";
import { approveOn, birthOf } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

test(
  "[ID-54] [ID-55] [ID-56] [TUN-60] the state partition is lost, and the owner's key brings the chip and its key back",
  { skip: needs("bundles", "swtpm", "tpm2-provider") },
  async (t) => {
    const chip = await startSwtpm({ directory: await temporaryDirectory(t) });
    t.teardown(() => chip.stop());
    const desk = await temporaryDirectory(t);
    const at = (name: string): string => join(desk, name);
    const owner = escrowOwner();
    await writeFile(at("owner.pem"), owner.pem, { mode: 0o600 });
    await writeFile(at("escrow.json"), owner.file, { mode: 0o644 });
    const rig = await buildRig({
      tpm: chip.tcti,
      wardenConfig: { tpm: { tcti: chip.tcti, ownership: "take", escrowKey: at("escrow.json") } },
    });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    const warden = await rig.startWarden();
    const agent = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    await hub.line(/tpm\.escrowed/u);
    t.match(await birthOf(rig), { protection: "tpm", keyFingerprint: key });
    const note = await rig.hub.command("devices", "escrow", ID);
    const record = join(rig.board.wardenState, "tpm-escrow.json");
    await eventually("the hub's cosignature at the warden", async () => {
      const text = await readFile(record, "utf8");
      if (text.split("\\n— ").length < 3) throw new Fault("process.failed", text);
      return text;
    });
    await agent.stop();
    await warden.stop();

    for (const name of await readdir(rig.board.wardenState)) await rm(join(rig.board.wardenState, name), { recursive: true });
    const without = await rig.startWarden();
    t.ok(
      without.lines.some((line) => line.includes("tpm.owned-by-others")),
      "the chip is ours no more",
    );
    await without.stop();

    await writeFile(at("note"), note);
    const opened = rig.command(
      "tpm",
      "passwords",
      at("note"),
      "--key",
      at("owner.pem"),
      "--out",
      join(rig.board.wardenState, "tpm-restore.json"),
    );
    t.equal(opened.code, 0, opened.stderr);
    const again = await rig.startWarden();
    t.notOk(
      again.lines.some((line) => /tpm\.owned-by-others|escrow\./u.test(line)),
      again.lines.join("\n"),
    );
    t.notOk((await readdir(rig.board.wardenState)).includes("tpm-restore.json"));
    const back = await rig.startAgent();
    await back.line(/life .* -> connected/u);
    t.match(await rig.status(), { key: { protection: "tpm", fingerprint: key } });
  },
);
