// Every reason why a TPM cannot be used, produced for real, with the text that an operator gets.
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import { isNewEnough, createTpmKeyStore, type TpmProvider } from "../../../../hal/linux/tpm/index.ts";
import type { KeyStore } from "../../../../hal/ports.ts";
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

test("no provider: the reason says what to install", async (t) => {
  const store = await storeOn(t, { module: "/nowhere/tpm2.so", tcti: "swtpm:port=9" });
  t.match(
    await store.unavailable(),
    /^OpenSSL's tpm2 provider is not at "\/nowhere\/tpm2\.so" \(ENOENT\); install tpm2-openssl 1\.2\.0/,
  );
});

test("a file that is not a provider: the reason is the loader's", { skip }, async (t) => {
  const module = join(await scratch(t), "tpm2.so");
  await writeFile(module, "not a library");
  t.match(
    await (await storeOn(t, { module, tcti: "swtpm:port=9" })).unavailable(),
    /^OpenSSL's tpm2 provider cannot be loaded: .*could not load the shared library.*(invalid ELF header|file too short)/,
  );
});

test("no openssl: the reason says so", { skip }, async (t) => {
  const store = await storeOn(t, { ...installed, tcti: "swtpm:port=9" }, { openssl: "openssl-of-another-machine" });
  t.match(await store.unavailable(), /run "openssl-of-another-machine": it is in none of/);
});

test("a provider too old for TLS is refused by its version", { skip }, async (t) => {
  const openssl = join(await scratch(t), "openssl");
  await writeFile(openssl, '#!/bin/sh\nprintf "Providers:\\n  tpm2\\n    name: TPM 2.0 Provider\\n    version: 1.1.1\\n"\n');
  await chmod(openssl, 0o755);
  t.match(
    await (await storeOn(t, { ...installed, tcti: "swtpm:port=9" }, { openssl })).unavailable(),
    /version "1\.1\.1", too old to do TLS; install tpm2-openssl 1\.2\.0/,
  );
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

test("a TPM that answers is available", { skip }, async (t) => {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  t.equal(await (await storeOn(t, { ...installed, tcti: chip.tcti })).unavailable(), undefined);
});

test("versions: 1.2.0 and later", async (t) => {
  for (const version of ["1.2.0", "1.2.1", "1.3.0", "1.3.0-rc1", "1.10.0", "2.0", "2.0.0"]) t.ok(isNewEnough(version), version);
  for (const version of ["1.1.1", "1.1.99", "0.9.0", "1", "", "one.two", "v1.3.0"]) t.notOk(isNewEnough(version), version);
});
