// How a gateway requests an address from the network.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { debianBase } from "../../../build/image/base.ts";
import { IMAGE_FOLDER } from "../../../build/image/paths.ts";
import { needsBase } from "../../lab/runner/debian-base.ts";

const skip = await needsBase();

/** `Section.Setting` and its value, systemd.syntax(7). */
async function settings(): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  let section = "";
  for (const line of (await readFile(join(IMAGE_FOLDER, "root/usr/lib/systemd/network/20-wired.network"), "utf8")).split("\n")) {
    section = /^\[(\w+)\]$/u.exec(line)?.[1] ?? section;
    const [, name, value] = /^(\w+)=(.*)$/u.exec(line) ?? [];
    if (name !== undefined && value !== undefined) found.set(`${section}.${name}`, value);
  }
  return found;
}

test("the device identifies itself by its MAC, because its machine id is new at each boot", async (t) => {
  const wired = await settings();
  t.equal(wired.get("DHCPv4.ClientIdentifier"), "mac");
  t.equal(wired.get("DHCPv6.DUIDType"), "link-layer");
});

test("the device's systemd-networkd knows each setting", { skip }, async (t) => {
  const { device } = await debianBase((line) => t.comment(line));
  // Its table of settings has them in this form. An unknown setting is reported only in its log.
  const program = await readFile(join(device, "usr/lib/systemd/systemd-networkd"), "latin1");
  t.notOk(program.includes("\0DHCPv4.ClientIdentity\0"), "control");
  for (const name of (await settings()).keys()) t.ok(program.includes(`\0${name}\0`), name);
});
