// `sallyport tpm passwords` as a process, with the key that `sallyport-release` makes and the files
// of an operator's machine.
import { spawnSync } from "node:child_process";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { runCommand } from "../../../agent/cli/run.ts";
import { run as runRelease } from "../../../build/release/cli.ts";
import { Fault } from "../../../hal/fault.ts";
import { encodeNote, signNote } from "../../../warden/audit/format/index.ts";
import {
  type ChipSecrets,
  escrowNoteText,
  parseEscrowKey,
  parseSecrets,
  sealSecrets,
} from "../../../warden/escrow/format/index.ts";
import { makeSigner } from "../../lab/counterparts/hub-signer.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { PROJECT } from "../../lab/runner/sources.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { labSecrets } from "../../lab/worlds/escrow.ts";

const audit = makeSigner("sallyport/1/dev-1", "ed25519");

async function release(...argv: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  let text = "";
  const print = (line: string): void => void (text += line);
  const code = await runRelease(argv, { out: print, err: print, shown: async () => undefined, nowMs: () => Date.now() });
  return { code, text };
}

const sallyport = (...args: readonly string[]) =>
  spawnSync("/usr/bin/env", ["-i", process.execPath, join(PROJECT, "agent/cli/main.ts"), "tpm", "passwords", ...args], {
    encoding: "utf8",
  });

/** The same in this process, with files as they are. */
async function inProcess(
  ...args: readonly string[]
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  const unused = (): never => {
    throw new Fault("assert.broken", "it works offline");
  };
  let [stdout, stderr] = ["", ""];
  const status = await runCommand(["tpm", "passwords", ...args], {
    ask: unused,
    evidence: unused,
    line: unused,
    id: unused,
    version: "1",
    file: (path) => readFileSync(path),
    privateFile: (path) => readFileSync(path),
    create: (path, bytes) => writeFileSync(path, bytes, { flag: "wx" }),
    out: (text) => (stdout += text),
    err: (text) => (stderr += text),
  });
  return { status, stdout, stderr };
}

async function desk(t: TestContext) {
  const folder = await temporaryDirectory(t);
  const at = (name: string): string => join(folder, name);
  const { text } = await release("escrow-key", at("owner.pem"));
  const key = parseEscrowKey(Buffer.from(text), "escrow.json");
  const secrets = labSecrets();
  const note = (given: Partial<ChipSecrets> = {}): string => {
    const signed = escrowNoteText({ ...secrets, ...given, sealed: sealSecrets(key, secrets) });
    return encodeNote({ text: signed, signatures: [signNote(signed, audit)] });
  };
  await writeFile(at("note"), note());
  return { at, secrets, note, publicHalf: text };
}

test("[ID-54] the owner's key is made once, readable for its owner only, and its public half can be printed again", async (t) => {
  const { at, publicHalf } = await desk(t);
  t.equal((await stat(at("owner.pem"))).mode & 0o777, 0o600);
  t.match(await release("escrow-key", at("owner.pem")), { code: 1, text: /never overwritten/u });
  t.same(await release("escrow-key", at("owner.pem"), "--public"), { code: 0, text: publicHalf });
  t.match(await release("escrow-key", at("none.pem"), "--public"), { code: 1, text: /there is no key/u });
  await release("keygen", at("other.pem"));
  t.match(await release("escrow-key", at("other.pem"), "--public"), { code: 1, text: /expected a P-256 key/u });
  await chmod(at("owner.pem"), 0o644);
  t.match(await release("escrow-key", at("owner.pem"), "--public"), { code: 1, text: /others\s+may read it/u });
  t.match(sallyport(at("note"), "--key", at("owner.pem")), { status: 1, stderr: /others may read it/u });
});

test("[ID-54] the passwords are printed as tpm2-tools take them, and written as the warden takes them", async (t) => {
  const { at, secrets } = await desk(t);
  const printed = sallyport(at("note"), "--key", at("owner.pem"));
  t.equal(printed.status, 0, printed.stderr);
  for (const whose of ["owner", "endorsement", "lockout"] as const)
    t.match(printed.stdout, new RegExp(`^-c ${whose} +hex:${secrets.passwords[whose]}$`, "mu"));
  const json: unknown = JSON.parse((await inProcess("--json", at("note"), "--key", at("owner.pem"))).stdout);
  t.same(json, secrets);
  const written = sallyport(at("note"), "--key", at("owner.pem"), "--out", at("restore.json"));
  t.match(written, { status: 0, stdout: /tpm-restore\.json/u });
  t.notOk(written.stdout.includes(secrets.passwords.owner), "then they are not printed");
  t.equal((await stat(at("restore.json"))).mode & 0o777, 0o600);
  t.same(parseSecrets(await readFile(at("restore.json")), "the record"), secrets);
  t.match(sallyport(at("note"), "--key", at("owner.pem"), "--out", at("restore.json")), {
    status: 1,
    stderr: /not overwritten/u,
  });
});

test("[ID-54] a note for another key, a changed, a cut and a huge one are refused in words, without a password in them", async (t) => {
  const { at, secrets, note } = await desk(t);
  const { text: other } = await release("escrow-key", at("other.pem"));
  t.ok(other);
  const good = note();
  const named = { deviceId: labSecrets().deviceId, storage: `000b${"11".repeat(32)}` };
  for (const [what, content, key, words] of [
    ["for another key", good, "other.pem", /sealed for the key/u],
    ["of another chip than it says", note(named), "owner.pem", /of another chip/u],
    ["changed", changed(good), "owner.pem", /was changed, or cut/u],
    ["cut", good.slice(0, -200), "owner.pem", /escrow\.invalid/u],
    ["1 MiB", "a".repeat(1_048_576), "owner.pem", /at most 4096/u],
    ["empty", "", "owner.pem", /escrow\.invalid/u],
  ] as const) {
    await writeFile(at("bad"), content);
    const args = [at("bad"), "--key", at(key), "--out", at("never.json")];
    const { status, stdout, stderr } = what === "1 MiB" ? sallyport(...args) : await inProcess(...args);
    t.match({ what, status, stderr }, { status: 1, stderr: words });
    for (const password of Object.values(secrets.passwords)) t.notOk(`${stdout}${stderr}`.includes(password), what);
  }
  await t.rejects(stat(at("never.json")));
  t.match(await inProcess(at("note")), { status: 2, stderr: /needs --key/u });
  t.match(await inProcess("--key", at("owner.pem")), { status: 2, stderr: /needs FILE/u });
});

/** Another character in the tag of what is sealed. */
function changed(note: string): string {
  const at = note.indexOf("\n\n") - 10;
  return `${note.slice(0, at)}${note[at] === "A" ? "B" : "A"}${note.slice(at + 1)}`;
}
