// The machine of an operator who signs away from the hub: a copy of the repository's root, files of
// a repository, and the operator's key.
import { createHash, randomBytes } from "node:crypto";
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addTarget, type TargetDescription } from "../../../build/release/add.ts";
import { run } from "../../../build/release/cli.ts";
import { initialise } from "../../../build/release/init.ts";
import { signChanges } from "../../../build/release/sign.ts";
import { makeKeyHolder, rosterOf } from "../counterparts/operator-keys.ts";
import type { TestContext } from "../runner/context.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

export const ID = "gw-1";
export const NONCE = randomBytes(32).toString("hex");

export function hashOf(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

/** A repository with a roster and releases, and an operator who has a copy of its root. */
export async function operatorsMachine(t: TestContext, signedAtMs = Date.now()) {
  const directory = await temporaryDirectory(t);
  const [dir, file] = [join(directory, "release"), join(directory, "file")];
  const { root } = await initialise(dir, signedAtMs);
  const anna = await makeKeyHolder(directory, "anna");
  const add = async (name: string, content: string, audience: NonNullable<TargetDescription["audience"]>) => {
    writeFileSync(file, content);
    await addTarget(dir, name, file, { line: name.split("/")[0] ?? "", hardware: { any: true }, audience });
  };
  const roster = { ...rosterOf({ holder: anna, roles: ["maintainer"] }), tenant: "acme", groups: { north: [ID] } };
  await add("operators/plant.json", JSON.stringify(roster), { devices: [ID] });
  await add("os/all.json", "for all", { everyone: true });
  await add("os/acme.json", "for acme", { tenant: "acme", everyone: true });
  await add("os/north.json", "for north", { tenant: "acme", groups: ["north"] });
  await add("os/other.json", "for another device", { devices: ["gw-2"] });
  await add("os/foreign.json", "for another tenant", { tenant: "other", everyone: true });
  await add("policy/all.json", "a policy", { everyone: true });
  await signChanges(dir, [], signedAtMs);
  const own = join(directory, "root.json");
  cpSync(root, own);
  return { directory, dir, root: own, repository: join(dir, "repository"), anna, add };
}

export type OperatorsMachine = Awaited<ReturnType<typeof operatorsMachine>>;

/** `sallyport-release answer` for a request of these members. */
export async function answer(
  { directory, root, repository, anna }: OperatorsMachine,
  members: object,
  ...options: readonly string[]
) {
  return await answerText(
    { directory, root, repository, anna },
    JSON.stringify({ v: 1, kind: "order-request", deviceId: ID, nonce: NONCE, ...members }),
    ...options,
  );
}

/** The same for a request as it arrives. */
export async function answerText(
  { directory, root, repository, anna }: Pick<OperatorsMachine, "directory" | "root" | "repository" | "anna">,
  text: string,
  ...options: readonly string[]
) {
  const request = join(directory, "request");
  writeFileSync(request, text);
  const [out, err]: [string[], string[]] = [[], []];
  const words = ["answer", request, "--key", anna.keyFile, "--root", root, "--repository", repository, ...options];
  const code = await run(words, {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    shown: async () => undefined,
    nowMs: () => Date.now(),
  });
  return { code, out: out.join("\n"), err: err.join("\n").replaceAll(/\s+/gu, " "), shown: err };
}
