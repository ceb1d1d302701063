// Both programs of a device as a person or systemd starts them: the same options, faults and exit
// codes.
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test, type Test } from "tap";
import { anchorsFile, makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { startProgram } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { programFile } from "../../lab/runner/programs.ts";

const PROGRAMS = ["agent", "warden"] as const;
type Name = (typeof PROGRAMS)[number];
interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

async function run(t: Test, name: Name, ...args: readonly string[]): Promise<Outcome> {
  const program = startProgram({ name, command: process.execPath, args: [programFile(`sallyport-${name}`), ...args] });
  t.teardown(() => program.stop("SIGKILL"));
  const { code } = await program.ended;
  return { code, text: program.lines.join("\n") };
}

/** A configuration and anchors that are valid for both. */
async function files(t: Test): Promise<{ readonly config: string; readonly anchors: string; readonly stateDirectory: string }> {
  const directory = await temporaryDirectory(t);
  const [config, anchors] = [join(directory, "program.json"), join(directory, "hub.json")];
  const stateDirectory = join(directory, "state");
  await writeFile(config, JSON.stringify({ anchors, stateDirectory }));
  await writeFile(
    anchors,
    anchorsFile(makeSigner("hub.example/time", "ed25519"), makeSigner("hub.example/witness", "cosignature/v1")),
  );
  return { config, anchors, stateDirectory };
}

for (const name of PROGRAMS) {
  test(`${name}: help and version end with 0, an unknown option with 2`, async (t) => {
    const help = await run(t, name, "--help");
    t.match(help, { code: 0, text: new RegExp(`usage: sallyport-${name} --config FILE .*/etc/sallyport/${name}\\.json`, "su") });
    t.match(await run(t, name, "--version"), { code: 0, text: new RegExp(`^sallyport-${name}/\\d+\\.\\d+\\.\\d+$`, "u") });
    for (const typed of ["--open-all", "file.json", "--check-config=yes"])
      t.match(await run(t, name, typed), { code: 2, text: /usage\.invalid: read the command line: / }, typed);
  });

  test(`${name}: --check-config reports the settings in force, and touches nothing`, async (t) => {
    const { config, stateDirectory } = await files(t);
    const { code, text } = await run(t, name, "--check-config", "--config", config);
    t.equal(code, 0);
    const [, file, settings] = /^"(.+)" is valid: (\{.*\})$/u.exec(text) ?? [];
    t.equal(file, config);
    t.match(JSON.parse(settings ?? ""), { stateDirectory });
    await t.rejects(rm(stateDirectory), { code: "ENOENT" }, "no state was made");
  });

  test(`${name}: any fault of the configuration ends with 78, one code, and the file's name`, async (t) => {
    const { config } = await files(t);
    for (const text of ["", "{", "[]", '{"colour":"red"}', '{"stateDirectory":"var/lib"}']) {
      await writeFile(config, text);
      for (const check of [["--check-config"], []])
        t.match(await run(t, name, "--config", config, ...check), {
          code: 78,
          text: new RegExp(`^sallyport-${name}: config\\.invalid: configuration "${config}" is `, "u"),
        });
    }
    await rm(config);
    const missing = { code: 78, text: `config.unreadable: read configuration "${config}": there is no such file; name it with` };
    t.match(await run(t, name, "--config", config), missing);
  });

  test(`${name}: --check-config checks the anchors too, and says where to get them`, async (t) => {
    const { config, anchors } = await files(t);
    const check = (): Promise<Outcome> => run(t, name, "--check-config", "--config", config);
    for (const text of ["{", '{"v":1,"authority":"nobody"}']) {
      await writeFile(anchors, text);
      t.match(await check(), { code: 78, text: `config.invalid: hub anchors "${anchors}" is ` });
    }
    await rm(anchors);
    const hint = 'there is no such file; put there what "sallyport-hub anchors" prints';
    t.match(await check(), { code: 78, text: `config.unreadable: read hub anchors "${anchors}": ${hint}` });
  });
}

const CHILD = fileURLToPath(new URL("program-child.ts", import.meta.url));

test("[OPS-12] a program whose work failed ends with its code, also when something was left open", async (t) => {
  const program = startProgram({ name: "child", command: process.execPath, args: [CHILD, "fails"] });
  t.teardown(() => program.stop("SIGKILL"));
  t.same(await program.ended, { code: 1, signal: null });
  t.match(program.lines.join("\n"), /socket\.listen-failed: as planned\n.*left open at the end/u);
});

test("[OPS-12] a start that hangs does not keep a program from ending with SIGTERM", async (t) => {
  const program = startProgram({ name: "child", command: process.execPath, args: [CHILD, "hangs"] });
  t.teardown(() => program.stop("SIGKILL"));
  await program.line(/it hangs now/u);
  t.same(await program.stop(), { code: 1, signal: null });
  t.match(program.lines.join("\n"), /SIGTERM was not obeyed/u);
});
