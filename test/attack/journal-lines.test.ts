// A captured agent that has the warden write lines: the volatile journal would lose all else.
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { assert } from "../../hal/fault.ts";
import { LINES_BURST_MAX } from "../../hal/line-pace.ts";
import { labRepository } from "../lab/counterparts/repository.ts";
import { faultOf } from "../lab/runner/faults.ts";
import { needs } from "../lab/runner/needs.ts";
import { labWarden } from "../lab/worlds/warden.ts";

test(
  "[OPS-36] a link in the hand-over directory leaves a few lines, however often it is shown",
  { skip: needs("bundles") },
  async (t) => {
    const lab = await labWarden(t, {
      config: (etc) => ({ trustRoot: join(etc, "root.json"), handover: join(etc, "handover") }),
    });
    const { etc } = lab.board;
    await writeFile(join(etc, "root.json"), labRepository().imageRoot, { mode: 0o644 });
    await mkdir(join(etc, "handover"));
    const warden = await lab.start();
    const client = lab.client();
    const wanted = await client.call("trust.refresh", { absent: [] });
    assert(wanted.state === "wanted", "a root after the image's is wanted first");
    await symlink("/etc/shadow", join(etc, "handover", wanted.handoverName));
    const attempts = 200;
    for (let n = 0; n < attempts; n++) {
      const fault = await faultOf(() => client.call("trust.refresh", { absent: [] }));
      t.match(fault, { code: "file.not-regular", message: /it is a link, and not a regular file; move it away/u });
    }
    const lines = warden.lines.filter((line) => line.includes("file.not-regular"));
    t.ok(lines.length >= 1 && lines.length < LINES_BURST_MAX + 10, `${lines.length} lines for ${attempts} attempts`);
    t.notOk(
      lines.some((line) => line.includes("/proc/self")),
      "no line shows how the warden opens it",
    );
  },
);
