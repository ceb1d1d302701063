// What may lie in the place of an image that is cut into chunks, or of a target that is one file.
import { execFileSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { run } from "../../../build/release/cli.ts";
import { addImage } from "../../../build/release/image.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { FOR_ALL, openReleaseTool } from "../../lab/worlds/release-tool.ts";

test("[STA-32] a pipe, a device, a directory and an endless file in the place of an image are refused before they are read", async (t) => {
  const directory = await temporaryDirectory(t);
  const tool = await openReleaseTool(join(directory, "release"));
  const pipe = join(directory, "pipe");
  execFileSync("mkfifo", [pipe]);
  const huge = join(directory, "huge");
  writeFileSync(huge, "");
  truncateSync(huge, 100 * 2 ** 30);
  const kernel = join(directory, "kernel");
  writeFileSync(kernel, "kernel");
  for (const [root, message] of [
    [pipe, /not a regular file/],
    ["/dev/zero", /not a regular file/],
    [directory, /not a regular file/],
    [huge, /more than \d+ bytes/],
  ] as const) {
    const parts = new Map([
      ["root", root],
      ["kernel", kernel],
    ] as const);
    await t.rejects(addImage(tool.directory, "os/gateway-1.json", parts, { line: "os", ...FOR_ALL }), { message }, root);
  }
});

test("[STA-32] an endless file in the place of a target is refused before it is read, with the bound", async (t) => {
  const directory = await temporaryDirectory(t);
  const tool = await openReleaseTool(join(directory, "release"));
  const huge = join(directory, "huge");
  writeFileSync(huge, "");
  truncateSync(huge, 100 * 2 ** 30);
  for (const [target, message] of [
    ["app/one.bin", /has 107374182400 bytes, but a target has at most 4294967296; larger things are images/u],
    ["hub/one.bin", /a target has at most 4294967296/u],
    ["policy/one.json", /a policy has at most \d+$/u],
    ["operators/one.json", /a roster has at most \d+$/u],
    ["os/one.json", /a manifest of parts has at most \d+; for images: --part/u],
  ] as const) {
    const said: string[] = [];
    const code = await run(["add", tool.directory, target, huge, "--hardware=any", "--audience=everyone"], {
      out: (text) => void said.push(text),
      err: (text) => void said.push(text),
      shown: async () => undefined,
      nowMs: () => Date.now(),
    });
    t.equal(code, 2, target);
    t.match(said[0]?.replaceAll(/\s+/gu, " "), message, target);
  }
});
