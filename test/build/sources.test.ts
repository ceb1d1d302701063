// The sources of Debian 13 on a machine with any Debian: the machine's own mirrors.
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { PROJECT } from "../lab/runner/sources.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import type { TestContext } from "../lab/runner/context.ts";

/** The stanzas that are written for `trixie` on a machine with these files in /etc/apt. */
async function sourcesOf(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  codename = "bookworm",
): Promise<readonly string[]> {
  const apt = await temporaryDirectory(t);
  await mkdir(join(apt, "sources.list.d"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(apt, name), text);
  const { stdout } = spawnSync("/bin/sh", [join(PROJECT, "build/sources.sh"), codename, apt, "trixie"], { encoding: "utf8" });
  return stdout.split("\n\n").filter((stanza) => stanza.trim() !== "");
}

const DEB822 = `# made by the installer
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
`;

test("the suite, its updates and its security updates come from the machine's own mirrors, and nothing else", async (t) => {
  const expected = [
    "Types: deb\nSuites: trixie trixie-updates\nComponents: main\nURIs: http://mirror.test/debian\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg",
    "Types: deb\nSuites: trixie-security\nComponents: main\nURIs: http://mirror.test/debian-security\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg",
  ];
  t.same(await sourcesOf(t, { "sources.list.d/debian.sources": DEB822 }), expected);
  const own = DEB822.replaceAll("bookworm", "trixie");
  t.same(await sourcesOf(t, { "sources.list.d/debian.sources": own }, "trixie"), expected, "on Debian 13 itself");
});

test("files with one-line entries give the same, and other vendors' mirrors are left out", async (t) => {
  const list = [
    "# deb http://off.test/debian bookworm main",
    "deb http://mirror.test/debian bookworm main contrib",
    "deb-src http://mirror.test/debian bookworm main",
    "deb [arch=amd64 signed-by=/key.gpg] http://mirror.test/debian-security/ bookworm-security main",
    "deb http://mirror.test/debian bookworm-backports main",
    "deb https://stranger.test/linux/debian bookworm stable",
    "deb https://stranger.test bookworm main",
  ];
  const further = "deb [ arch=amd64 signed-by=/key.gpg ] http://mirror.test/debian bookworm-updates contrib main\n";
  t.same(await sourcesOf(t, { "sources.list": `${list.join("\n")}\n`, "sources.list.d/updates.list": further }), [
    "Types: deb\nSuites: trixie\nComponents: main\nURIs: http://mirror.test/debian",
    "Types: deb\nSuites: trixie-security\nComponents: main\nURIs: http://mirror.test/debian-security/\nSigned-By: /key.gpg",
    "Types: deb\nSuites: trixie-updates\nComponents: main\nURIs: http://mirror.test/debian\nSigned-By: /key.gpg",
  ]);
});

test("a machine without sources gives none", async (t) => {
  t.same(await sourcesOf(t, {}), []);
});
