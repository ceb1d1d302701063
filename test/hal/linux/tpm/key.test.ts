// The life of a key in a TPM: power cycles, another chip, a TPM that disappears.
import { createPublicKey, verify } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { assert } from "../../../../hal/fault.ts";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import { createTpmKeyStore } from "../../../../hal/linux/tpm/index.ts";
import type { KeyStore } from "../../../../hal/ports.ts";
import { needs, tpm2Provider } from "../../../lab/runner/needs.ts";
import { startSwtpm } from "../../../lab/counterparts/swtpm.ts";

const skip = needs("swtpm", "tpm2-provider", "openssl");
const installed = tpm2Provider() ?? { module: "/nowhere/tpm2.so" };

async function stateOf(t: Test): Promise<{ directory: string; on: (tcti: string, openssl?: string) => Promise<KeyStore> }> {
  const directory = await mkdtemp(join(tmpdir(), "tpm-key-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const on = async (tcti: string, openssl = "openssl"): Promise<KeyStore> =>
    createTpmKeyStore({ files: await linuxFiles(join(directory, "state")), provider: { ...installed, tcti }, openssl });
  return { directory, on };
}

test("[ID-6] the key survives a power cycle of the TPM", { skip }, async (t) => {
  const { directory, on } = await stateOf(t);
  const first = await startSwtpm({ directory: join(directory, "chip") });
  t.teardown(first.stop);
  const made = await (await on(first.tcti)).create();
  await first.stop();
  const second = await startSwtpm({ directory: join(directory, "chip") });
  t.teardown(second.stop);
  const loaded = await (await on(second.tcti)).load();
  t.equal(loaded?.fingerprint, made.fingerprint);
  const key = createPublicKey({ key: Buffer.from(made.publicKey), format: "der", type: "spki" });
  t.ok(verify("sha256", Buffer.from("words"), key, (await loaded?.sign(Buffer.from("words"))) ?? new Uint8Array()));
});

test(
  "[ID-6] another TPM, or a cleared one, refuses the key: the fault says what to do, and no new key is made",
  { skip },
  async (t) => {
    const { directory, on } = await stateOf(t);
    const [mine, other] = [await startSwtpm(), await startSwtpm()];
    t.teardown(mine.stop);
    t.teardown(other.stop);
    await (await on(mine.tcti)).create();
    const blob = await readFile(join(directory, "state", "device-key.tss2.pem"), "utf8");
    const swapped = await on(other.tcti);
    const expected = {
      code: "key.tpm-unavailable",
      message: /it was cleared, or this is another TPM.*put back what belongs to this device/,
    };
    await t.rejects(swapped.load(), expected);
    await t.rejects(swapped.create(), expected);
    t.equal(await readFile(join(directory, "state", "device-key.tss2.pem"), "utf8"), blob);
    t.ok(await (await on(mine.tcti)).load(), "with its own TPM it works again");
  },
);

test("a TPM whose slots are full says so, and does not advise a reset of the device", { skip }, async (t) => {
  const { on } = await stateOf(t);
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const store = await on(chip.tcti);
  const key = await store.create();
  await occupySlot(chip.port);
  await occupySlot(chip.port);
  const expected = { code: "key.tpm-unavailable", message: /takes no key now.*the key is not lost, restart the device/ };
  await t.rejects(store.load(), expected);
  await t.rejects(key.sign(Buffer.from("words")), expected);
});

test("a TPM that disappears while the key is in use is reported as such", { skip }, async (t) => {
  const { on } = await stateOf(t);
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const key = await (await on(chip.tcti)).create();
  await chip.stop();
  await t.rejects(key.sign(Buffer.from("words")), { code: "key.tpm-unavailable", message: /^sign with .* does not answer/ });
});

test("[ID-4] a software key in place of the TPM's is detected and not kept", { skip }, async (t) => {
  const { directory, on } = await stateOf(t);
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  // the default provider in place of tpm2, as in tpm2-openssl issue 140
  const openssl = join(directory, "openssl");
  await writeFile(
    openssl,
    '#!/bin/sh\n[ "$1" = genpkey ] && exec /usr/bin/openssl genpkey -algorithm EC -pkeyopt group:P-256\nexec /usr/bin/openssl "$@"\n',
  );
  await chmod(openssl, 0o755);
  const store = await on(chip.tcti, openssl);
  await t.rejects(store.create(), { code: "key.create-failed", message: /outside the TPM/ });
  t.equal(await store.load(), undefined);
});

/**
 * TPM2_CreatePrimary (TPM 2.0 Part 3, 24.1) without a flush: an ECC storage key under the owner
 * hierarchy stays in one of the three transient slots. swtpm's data port takes the bare command and
 * answers with the bare response.
 */
async function occupySlot(port: number): Promise<void> {
  const authorization = "00000009 40000009 0000 00 0000";
  const publicArea = "0023 000b 00030472 0000 0006 0080 0043 0010 0003 0010 0000 0000";
  const body = `00000131 40000001 ${authorization} 0004 0000 0000 001a ${publicArea} 0000 00000000`.replaceAll(" ", "");
  const command = Buffer.from(`8002${(6 + body.length / 2).toString(16).padStart(8, "0")}${body}`, "hex");
  const socket = connect(port, "127.0.0.1");
  const answer = new Promise<Buffer>((resolve, reject) => socket.once("data", resolve).once("error", reject));
  socket.write(command);
  const response = await answer;
  socket.destroy();
  assert(response.readUInt32BE(6) === 0, "the TPM makes a primary key");
}
