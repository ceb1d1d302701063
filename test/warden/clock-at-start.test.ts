// The clock of the running program: wrong by decades, and without a hub.
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { faultOf } from "../lab/runner/faults.ts";
import { hubTime } from "../lab/counterparts/hub-signer.ts";
import { needs } from "../lab/runner/needs.ts";
import { labWarden, verifiedLog } from "../lab/worlds/warden.ts";

// The library itself: the faketime command would stay as a parent process and receive the signals.
const LIBRARY = ["x86_64", "aarch64"]
  .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`)
  .find((path) => existsSync(path));
const FAKE_CLOCK = [`LD_PRELOAD=${LIBRARY ?? ""}`, "FAKETIME_DONT_FAKE_MONOTONIC=1"];

test(
  "[ID-22] a clock at 1970 or 2099 does not stop the warden: it counts as unset until the hub gives the time",
  { skip: needs("faketime") },
  async (t) => {
    for (const date of ["1970-01-02 00:00:00", "2099-01-01 00:00:00"]) {
      const lab = await labWarden(t);
      const warden = lab.launch(["/usr/bin/env", ...FAKE_CLOCK, `FAKETIME=@${date}`]);
      await warden.line(/listening on/u);
      const client = lab.client();
      t.match(await client.call("status.read", {}), { clock: { state: "unset" } }, date);
      const { nonce } = await client.call("time.nonce", {});
      const answer = hubTime(lab.hub.time, "GW-4711", nonce, Date.UTC(2027, 0, 1));
      t.match(await client.call("time.set", answer), { state: "synced" }, date);
      const set = (await verifiedLog(client)).findLast(({ event }) => event === "time.set");
      t.match(set, { at: /^2027-01-01T/u, synced: true, detail: { from: new RegExp(`^${date.slice(0, 4)}`, "u") } });
      await warden.stop();
    }
  },
);

test("[ID-10] without hub anchors, or with broken ones, the warden runs, reports it and trusts no time", async (t) => {
  for (const [anchors, code] of [
    [undefined, "config.unreadable"],
    ['{"v":1,"name":"half"}', "config.invalid"],
  ] as const) {
    const lab = await labWarden(t);
    const file = join(lab.board.etc, "hub.json");
    await rm(file);
    if (anchors !== undefined) await writeFile(file, anchors);
    await lab.start();
    const client = lab.client();
    t.match(await client.call("status.read", {}), { troubles: [{ code }] });
    const { nonce } = await client.call("time.nonce", {});
    t.equal(
      (await faultOf(() => client.call("time.set", hubTime(lab.hub.time, "GW-4711", nonce, Date.now())))).code,
      "time.bad-signature",
    );
  }
});
