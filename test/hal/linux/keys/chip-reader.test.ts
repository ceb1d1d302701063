// What a TPM shows of itself, compared with tpm2-tools, and told apart after a clear and a swap.
// [ID-70]
import { test } from "tap";
import { linuxChipReader } from "../../../../hal/linux/keys/index.ts";
import { fillSlots, keepStorageRoot, lockOut, setPassword } from "../../../lab/counterparts/tpm-troubles.ts";
import { startSwtpm } from "../../../lab/counterparts/swtpm.ts";
import { openTpm2Tools } from "../../../lab/counterparts/tpm2-tools.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { bornOn } from "../../../lab/fakes/chip.ts";
import { judgeChip } from "../../../../warden/chip/judge.ts";

test(
  "[ID-70] a chip is known by its Names through an owner that comes, a cleared one and another one are told, and its absence is no fault",
  { skip: needs("swtpm", "tpm2-tools") },
  async (t) => {
    const chip = await startSwtpm();
    t.teardown(chip.stop);
    const reader = linuxChipReader(chip.tcti);
    await using tools = await openTpm2Tools(chip);
    const fresh = await reader.read();
    if (fresh === undefined) throw t.fail("there is a chip");
    t.match(fresh, { isComplete: true, endorsement: /^000b[0-9a-f]{64}$/u });
    await tools.run("createek", "-c", "./ek.ctx", "-G", "ecc", "-u", "./ek.pub");
    await tools.run("flushcontext", "-t");
    await tools.run("readpublic", "-c", "./ek.ctx", "-n", "./ek.name");
    await tools.run("flushcontext", "-t");
    const theirs = Buffer.from(await tools.read("ek.name")).toString("hex");
    t.equal(fresh.endorsement, theirs, "the endorsement key that tpm2-tools derive");
    const birth = bornOn(fresh);
    const is = async (): Promise<string> => {
      const verdict = judgeChip(birth, await reader.read(), chip.tcti);
      return "fault" in verdict ? verdict.fault.code : verdict.is;
    };

    await lockOut(chip);
    await fillSlots(chip);
    t.equal(await is(), "own", "in a lockout that others caused, and with two slots taken");
    await tools.run("flushcontext", "-t");
    await keepStorageRoot(chip);
    for (const hierarchy of ["owner", "endorsement"] as const) await setPassword(chip, hierarchy, "theirs");
    t.match(await reader.read(), { roots: [fresh.roots[0]], isComplete: false }, "behind passwords it shows what is persistent");
    t.equal(await is(), "own");
    await tools.run("evictcontrol", "-C", "o", "-P", "theirs", "-c", "0x81000001");
    t.equal(await is(), "key.tpm-unavailable", "a chip that shows nothing is not judged");
    await tools.run("clear", "-c", "p");
    t.equal(await is(), "key.tpm-cleared");
    const other = await startSwtpm();
    t.teardown(other.stop);
    const swapped = judgeChip(birth, await linuxChipReader(other.tcti).read(), other.tcti);
    t.match(swapped, { is: "gone", fault: { code: "key.not-this-board" } });

    await chip.cut();
    t.equal(await reader.read(), undefined);
    t.equal(await linuxChipReader("device:/nowhere/tpmrm0").read(), undefined);
    await t.rejects(linuxChipReader("device:/dev/null").read(), { code: /^tpm\./u }, "what is no TPM is not absent");
  },
);
