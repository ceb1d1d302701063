// Every reason why a TPM cannot be used, produced for real, with the text that an operator gets.
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import { createTpmKeyStore } from "../../../../hal/linux/keys/index.ts";
import { isNewEnough, type TpmProvider } from "../../../../hal/linux/tpm-provider/index.ts";
import type { KeyStore } from "../../../../hal/ports.ts";
import { fillSlots, lockOut, setPassword } from "../../../lab/counterparts/tpm-troubles.ts";
import { needs, tpm2Provider } from "../../../lab/runner/needs.ts";
import { startSwtpm } from "../../../lab/counterparts/swtpm.ts";

const skip = needs("swtpm", "tpm2-provider", "openssl");
const installed = tpm2Provider() ?? { module: "/nowhere/tpm2.so" };

async function scratch(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "tpm-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function storeOn(t: Test, provider: TpmProvider, more: { openssl?: string; timeoutMs?: number } = {}): Promise<KeyStore> {
  return createTpmKeyStore({ files: await linuxFiles(join(await scratch(t), "state")), provider, ...more });
}

test("no TPM device: the reason names it", async (t) => {
  const tcti = `device:${await scratch(t)}/tpmrm0`;
  t.match(await (await storeOn(t, { ...installed, tcti })).unavailable(), /^this machine has no TPM device ".*tpmrm0"/);
});

test(
  "a device that this user may not open: the reason says so",
  { skip: process.getuid?.() === 0 ? "root may open everything" : false },
  async (t) => {
    const device = join(await scratch(t), "tpmrm0");
    await writeFile(device, "", { mode: 0o000 });
    t.match(
      await (await storeOn(t, { ...installed, tcti: `device:${device}` })).unavailable(),
      /may not be opened; add this user to the group/,
    );
  },
);

test("a way to the TPM that is not known: the reason names those that are", async (t) => {
  for (const tcti of ["tabrmd:", "mssim:host=127.0.0.1,port=2321", "device:tpm0", "swtpm:port=0", "swtpm:prot=1"])
    t.match(await (await storeOn(t, { ...installed, tcti })).unavailable(), /write device:\/dev\/tpmrm0 or swtpm:host=/, tcti);
});

test("OpenSSL's provider is missing, no library, too old, or has no openssl: the reason says which", { skip }, async (t) => {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const directory = await scratch(t);
  const [module, old] = [join(directory, "tpm2.so"), join(directory, "openssl")];
  await writeFile(module, "not a library");
  await writeFile(old, '#!/bin/sh\nprintf "Providers:\\n  tpm2\\n    name: TPM 2.0 Provider\\n    version: 1.1.1\\n"\n');
  await chmod(old, 0o755);
  const reason = async (provider: { readonly module?: string }, openssl?: string): Promise<string | undefined> =>
    (
      await storeOn(t, { ...installed, ...provider, tcti: chip.tcti }, { ...(openssl !== undefined && { openssl }) })
    ).unavailable();
  t.match(
    await reason({ module: "/nowhere/tpm2.so" }),
    /^OpenSSL's tpm2 provider is not at "\/nowhere\/tpm2\.so" \(ENOENT\); install tpm2-openssl 1\.2\.0/,
  );
  t.match(
    await reason({ module }),
    /^OpenSSL's tpm2 provider cannot be loaded: .*could not load the shared library.*(invalid ELF header|file too short)/,
  );
  t.match(await reason({}, "openssl-of-another-machine"), /run "openssl-of-another-machine": it is in none of/);
  t.match(await reason({}, old), /version "1\.1\.1", too old to do TLS; install tpm2-openssl 1\.2\.0/);
  t.equal(await reason({}), undefined, "a TPM that answers, with this provider, is usable");
});

test("a TPM that is switched off does not answer; create gives the reason and makes nothing", { skip }, async (t) => {
  const chip = await startSwtpm();
  await chip.stop();
  const store = await storeOn(t, { ...installed, tcti: chip.tcti });
  t.match(await store.unavailable(), /^the TPM at "swtpm:.*" does not answer: /);
  await t.rejects(store.create(), { code: "key.create-failed", message: /does not answer/ });
  t.equal(await store.load(), undefined);
});

test("a TPM that hangs is given up after the time limit", { skip }, async (t) => {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  process.kill(chip.processId, "SIGSTOP");
  t.teardown(() => process.kill(chip.processId, "SIGCONT"));
  const store = await storeOn(t, { ...installed, tcti: chip.tcti }, { timeoutMs: 500 });
  t.match(await store.unavailable(), /does not answer in time/);
});

test("[ID-48] passwords, full slots and a lockout: the reason says what is in the way", { skip }, async (t) => {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const store = await storeOn(t, { ...installed, tcti: chip.tcti });
  await lockOut(chip);
  t.equal(await store.unavailable(), undefined, "a key of ours is made and used in a lockout");
  await fillSlots(chip);
  t.match(await store.unavailable(), /takes no key now, because other programs fill its slots: end them/);
  await chip.cut();
  const again = await startSwtpm({ directory: chip.directory, port: chip.port });
  t.teardown(again.stop);
  await setPassword(again, "owner", "theirs");
  t.match(await store.unavailable(), /^the owner hierarchy has a password, which this device does not know; ask whoever owns/);
});

test("versions: 1.2.0 and later", async (t) => {
  for (const version of ["1.2.0", "1.2.1", "1.3.0", "1.3.0-rc1", "1.10.0", "2.0", "2.0.0"]) t.ok(isNewEnough(version), version);
  for (const version of ["1.1.1", "1.1.99", "0.9.0", "1", "", "one.two", "v1.3.0"]) t.notOk(isNewEnough(version), version);
});
