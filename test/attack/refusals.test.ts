// Saying no is cheap at every edge. A child process feeds each edge the worst inputs of the size
// that it permits, every sixth one outside of the long run. Calls, copied bytes, memory and the
// length of messages are counted, never time; the bench measures the processor's time.
import { fileURLToPath } from "node:url";
import { test } from "tap";
import * as v from "valibot";
import { FAULT_MESSAGE_BYTES_MAX } from "../../hal/fault.ts";
import { allEdges } from "../lab/edges/index.ts";
import { isLongRun, LONG_RUN } from "../lab/runner/long-run.ts";
import { HANG_MS, startProgram } from "../lab/runner/process.ts";

const CHILD = fileURLToPath(new URL("../lab/runner/edges-child.ts", import.meta.url));

/** Issues of one validation, and of a second one where a union was tried in vain. */
const ISSUES_MAX = 8 + 64;
const GROWN_BYTES_MAX = 33_554_432;
/** A refusal may cost as many calls as five valid inputs, or one for each of so many bytes. */
const VALID_RATIO_MAX = 5;
const BYTES_PER_CALL = 4;
/**
 * Bytes, characters and items that built-in functions copy or walk, for each byte of an input. What
 * decodes, parses, sorts and spells JSON again needs twelve; what is quadratic, hundreds.
 */
const COPIES_PER_BYTE_MAX = 16;

const workSchema = v.object({ calls: v.number(), issues: v.number() });
const costSchema = v.object({
  name: v.string(),
  inputs: v.number(),
  valid: workSchema,
  total: workSchema,
  isValidAccepted: v.boolean(),
  isBounded: v.boolean(),
  copiedPerByte: v.number(),
  copied: v.string(),
  grownBytes: v.number(),
  worst: v.string(),
  refused: v.number(),
  accepted: v.number(),
  messageBytesMax: v.number(),
  codes: v.array(v.string()),
  others: v.array(v.string()),
});

test("[STA-10] [STA-12] [STA-31] [STA-32] [STA-33] at every edge a refusal of the worst input is bounded in work, memory and words", async (t) => {
  const edges = await allEdges();
  const env = isLongRun() ? LONG_RUN : {};
  const child = startProgram({ name: "edges", command: process.execPath, args: ["--expose-gc", CHILD], env, endsWithUs: true });
  t.teardown(async () => void (await child.stop("SIGKILL")));
  const lineOf = async (member: string, name: string): Promise<string> =>
    await child.line(new RegExp(`^\\{"${member}":"${name.replaceAll(/[.+]/gu, "\\$&")}"[,}]`, "u"), HANG_MS);
  for (const phase of ["measured", "counted"]) for (const name of edges.keys()) await lineOf(phase, name);
  for (const [name, { bytesMax }] of edges) {
    const line = await lineOf("name", name);
    const cost = v.parse(costSchema, JSON.parse(line));
    await t.test(name, async (each) => {
      each.ok(cost.isValidAccepted, "the valid input is accepted");
      each.ok(cost.refused > 0, "inputs are refused");
      each.ok(cost.isBounded, "a byte above the bound is refused");
      each.same(cost.others, [], "every input has the permitted size, every refusal is a fault, and quotes little");
      each.notOk(cost.codes.includes("assert.broken"), "no refusal is a defect");
      each.ok(cost.messageBytesMax <= FAULT_MESSAGE_BYTES_MAX, `a message has at most ${cost.messageBytesMax} bytes`);
      each.ok(cost.grownBytes <= GROWN_BYTES_MAX, `memory grows by at most ${cost.grownBytes} bytes: ${cost.worst}`);
      each.ok(cost.total.issues <= cost.inputs * ISSUES_MAX, `${cost.inputs} inputs make ${cost.total.issues} issues`);
      each.ok(cost.copiedPerByte <= COPIES_PER_BYTE_MAX, `${cost.copiedPerByte} bytes are copied for each: ${cost.copied}`);
      const callsMax = cost.inputs * Math.max(VALID_RATIO_MAX * cost.valid.calls, bytesMax / BYTES_PER_CALL);
      each.ok(cost.total.calls <= callsMax, `${cost.inputs} inputs make ${cost.total.calls} calls, at most ${callsMax}`);
    });
  }
});
