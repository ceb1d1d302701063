// The judgement of the TPM by the birth record. [ID-70] [ID-71]
import * as v from "valibot";
import { test } from "tap";
import type { ChipReading } from "../../../hal/chip.ts";
import { Fault } from "../../../hal/fault.ts";
import { type BirthRecord, birthRecordSchema } from "../../../hal/format/identity.ts";
import { judgeChip } from "../../../warden/chip/judge.ts";

const name = (digit: string): string => `000b${digit.repeat(64)}`;
const [ROOT, OTHER_ROOT, EK, OTHER_EK] = [name("1"), name("2"), name("e"), name("f")];
const PLACE = "device:/dev/tpmrm0";

function bornWith(change: Partial<BirthRecord> = {}): BirthRecord {
  return v.parse(birthRecordSchema, {
    v: 2,
    id: "GW-4711",
    source: "serial",
    protection: "tpm",
    keyFingerprint: `sha256:${"a".repeat(64)}`,
    chip: { storage: ROOT, endorsement: EK },
    ...change,
  });
}

function reading(change: Partial<ChipReading> = {}): ChipReading {
  return { roots: [ROOT], isComplete: true, endorsement: EK, ...change };
}

test("[ID-70] a device whose key is in a file, or that was never born, needs no TPM", async (t) => {
  for (const found of [undefined, reading(), reading({ endorsement: OTHER_EK }), new Fault("tpm.timeout", "late")]) {
    t.equal(judgeChip(bornWith({ protection: "file", chip: undefined }), found, PLACE).is, "free");
    t.equal(judgeChip(undefined, found, PLACE).is, "free");
  }
});

test("[ID-70] each TPM is told: the own one, another one, a cleared one, none, and one that says nothing", async (t) => {
  const rows: readonly (readonly [what: string, found: ChipReading | Fault | undefined, is: string, code?: string])[] = [
    ["its own", reading(), "own"],
    ["its own, with further keys", reading({ roots: [OTHER_ROOT, ROOT] }), "own"],
    ["its own, whose endorsement key is not shown", reading({ endorsement: undefined }), "own"],
    ["its own, whose owner hides the root behind a password", reading({ roots: [], isComplete: false }), "own"],
    ["another endorsement key", reading({ endorsement: OTHER_EK }), "gone", "key.not-this-board"],
    ["another chip with a copied root", reading({ endorsement: OTHER_EK, roots: [ROOT] }), "gone", "key.not-this-board"],
    ["another root, the same endorsement key", reading({ roots: [OTHER_ROOT] }), "gone", "key.tpm-cleared"],
    ["no root at all", reading({ roots: [] }), "gone", "key.tpm-cleared"],
    ["another root, and nothing to compare", reading({ roots: [OTHER_ROOT], endorsement: undefined }), "gone", "key.tpm-cleared"],
    ["nothing readable", { roots: [], isComplete: false, endorsement: undefined }, "unknown", "key.tpm-unavailable"],
    ["a chip that does not answer", new Fault("tpm.timeout", "it is slow"), "unknown", "key.tpm-unavailable"],
    ["none", undefined, "absent", "key.tpm-missing"],
  ];
  for (const protection of ["tpm", "sealed"] as const)
    for (const [what, found, is, code] of rows) {
      const verdict = judgeChip(bornWith({ protection }), found, PLACE);
      t.equal(verdict.is, is, what);
      t.equal("fault" in verdict ? verdict.fault.code : undefined, code, what);
    }
});

test("[ID-71] a record that names no chip is content with any TPM that answers, and not with none", async (t) => {
  const old = bornWith({ v: 1, chip: undefined });
  t.equal(judgeChip(old, reading({ endorsement: OTHER_EK, roots: [] }), PLACE).is, "own");
  t.equal(judgeChip(old, undefined, PLACE).is, "absent");
});

test("[ID-73] the words say what is the matter and what to do, and none of them advises a reset", async (t) => {
  const told = (found: ChipReading | undefined): string => {
    const verdict = judgeChip(bornWith(), found, PLACE);
    return "fault" in verdict ? verdict.fault.message : "";
  };
  t.match(told(undefined), /^TPM missing: "GW-4711" was born with its key in a TPM.*put this disk back into its own board/u);
  t.match(told(reading({ endorsement: OTHER_EK })), /^not this board: .*put this disk back into its own board/u);
  t.match(told(reading({ roots: [OTHER_ROOT] })), /^TPM cleared: .*an operator replaces it/u);
  for (const found of [undefined, reading({ endorsement: OTHER_EK }), reading({ roots: [OTHER_ROOT] })]) {
    t.notMatch(told(found), /reset/u);
    t.ok(told(found).length <= 400, "it fits a few lines of a console");
  }
});
