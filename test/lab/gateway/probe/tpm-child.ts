// Runs inside the virtual gateway: two programs on one real TPM through the kernel's resource
// manager. `at-once PROGRAMS ROUNDS` starts PROGRAMS of itself that work at the same time; `work
// ROUNDS` makes a key and a signature in each round, as agent and warden do, with all three slots
// taken meanwhile.
import { execFile } from "node:child_process";
import { createHash, verify } from "node:crypto";
import { promisify } from "node:util";
import { Fault } from "../../../../hal/fault.ts";
import {
  create,
  createPrimary,
  getRandom,
  HANDLE,
  load,
  p1363,
  publicKeyObject,
  sign,
  SIGNING_TEMPLATE,
  STORAGE_TEMPLATE,
  type Tpm,
  useTpm,
} from "../../../../hal/linux/tpm/index.ts";

const DEVICE = "device:/dev/tpmrm0";
const WORDS = Buffer.from("what both sign");

const [verb, first = "2", second = "2"] = process.argv.slice(2);
if (verb === "at-once") {
  const programs = Array.from({ length: Number(first) }, () =>
    promisify(execFile)(process.execPath, [process.argv[1] ?? "", "work", second]).then(
      ({ stdout }) => stdout.trim(),
      (error: unknown) => `failed: ${error instanceof Error ? error.message : String(error)}`,
    ),
  );
  console.log(`= ${JSON.stringify(await Promise.all(programs))}`);
} else if (verb === "work") {
  let done = 0;
  try {
    for (let round = 0; round < Number(first); round += 1) done += Number(await useTpm(DEVICE, signs));
    console.log(`${done} signatures`);
  } catch (error) {
    console.log(error instanceof Fault ? `${error.code}: ${error.message}` : String(error));
  }
}

async function signs(tpm: Tpm): Promise<boolean> {
  await using parent = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  const blob = await create(tpm, parent, SIGNING_TEMPLATE);
  await using one = await load(tpm, parent, blob);
  await using _another = await load(tpm, parent, blob);
  await getRandom(tpm, 8);
  const signature = p1363(await sign(tpm, one, createHash("sha256").update(WORDS).digest()));
  return verify("sha256", WORDS, { key: publicKeyObject(blob.area), dsaEncoding: "ieee-p1363" }, signature);
}
