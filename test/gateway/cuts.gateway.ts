// The power is cut three times during one update: while a slot is being written, while the boot
// choice is being written, and while the new system boots. Each time a whole system boots, and the
// update goes on without help until it is committed.
import { test } from "tap";
import type { DiskEvent } from "../lab/gateway/disk.ts";
import { ID } from "../lab/gateway/gateway.ts";
import { RELEASES } from "../lab/gateway/golden-image.ts";
import { ESP, ROOT_B } from "../lab/gateway/images.ts";
import { AGENT_CONNECTED, followGateway, INSTALLER_STARTED, WARDEN_STARTED } from "../lab/gateway/followed-gateway.ts";
import { needs } from "../lab/runner/needs.ts";

const MEBIBYTE = 1_048_576;
/** Bytes of the slot before the first cut: more than one range of chunks. */
const FIRST_BYTES = 20 * MEBIBYTE;

/**
 * A seed for which, of the unflushed writes, the first is kept, the second lost and the third torn.
 */
const KEEPS_FIRST = 39;

const isIn = ({ offset }: DiskEvent, { from, to }: { readonly from: number; readonly to: number }): boolean =>
  offset >= from && offset < to;

/** Holds at a write beside which others wait, at least `least` in all. */
function amongUnflushed(least: number): (event: DiskEvent) => boolean {
  let pending = 0;
  return ({ kind }) => {
    pending = kind === "flush" ? 0 : pending + 1;
    return pending >= least && kind === "write";
  };
}

test(
  "[OTA-33] [OTA-34] [OTA-35] three power cuts during an update",
  { skip: needs("qemu", "image", "swtpm"), timeout: 3_600_000 },
  async (t) => {
    const { gateway, hub, say, logged, until, kernels, events, cutAt } = await followGateway(t);
    await gateway.powerOn();
    await hub.approve();
    await logged(AGENT_CONNECTED);

    let written = 0;
    gateway.watchDisk((event) => {
      if (isIn(event, ROOT_B)) written += event.bytes;
    });
    const unflushed = amongUnflushed(3);
    const loss = { kind: "tear", seed: KEEPS_FIRST } as const;
    const first = cutAt("the slot's bytes", loss, (event) => unflushed(event) && written > FIRST_BYTES);
    await hub.command("update", "start", ID, RELEASES.next);
    const torn = await first;
    t.ok(
      torn.kept > 0 && torn.torn > 0 && torn.dropped > 0,
      `of the slot's bytes some were kept, some torn, some lost: ${JSON.stringify(torn)}`,
    );
    t.same(await kernels(), ["gw_1_a.efi"], "half a slot has no kernel");
    await gateway.powerOn();
    await logged(INSTALLER_STARTED);
    t.pass("the update goes on by itself");

    // Of gw_2_b+2.efi in a directory of FAT: characters 6 to 11 of a long name, in UTF-16.
    const name = Buffer.from("b+2.ef", "utf16le");
    // The durable name was not reported yet, but the disk has it: the machine wakes up with a
    // choice that it does not know of.
    const named = await cutAt(
      "the new kernel's name",
      loss,
      (event) => isIn(event, ESP) && event.kind !== "flush" && event.content.includes(name),
    );
    t.ok(named.kept > 0, `the name got through: ${JSON.stringify(named)}`);
    say(`the slot was written ${Math.round(written / MEBIBYTE)} MiB in all`);
    t.same(await kernels(), ["gw_1_a.efi", "gw_2_b+2.efi"]);
    await gateway.powerOn();
    await logged(WARDEN_STARTED);
    t.same(await kernels(), ["gw_1_a.efi", "gw_2_b+1-1.efi"], "the new system is tried at once");

    const booting = await cutAt("the new system's first boot", loss, amongUnflushed(2));
    t.ok(booting.kept > 0 && booting.torn + booting.dropped > 0, `some of it was lost: ${JSON.stringify(booting)}`);
    await gateway.powerOn();
    await logged(WARDEN_STARTED);
    t.same(await kernels(), ["gw_1_a.efi", "gw_2_b+0-2.efi"], "the second try");
    const status = await until("it is committed", ({ phase }) => phase === "committed");
    t.match(status, { running: "b", version: "4.0.0", slot: "b", release: { target: RELEASES.next } });
    t.same(await kernels(), ["gw_1_a.efi", "gw_2_b.efi"]);
    const told = await events("update.committed");
    t.same([told.at(0), told.at(-1)], ["update.begun", "update.committed"]);
    t.equal(told.filter((event) => event === "update.begun").length, 1, "nobody had to start it again");
  },
);
