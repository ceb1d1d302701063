// First power-on with disks that are read-only, or full at any step. [STA-1] [ID-6]
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, birthOf, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";
import { mountSmallDisk } from "../lab/counterparts/small-disk.ts";

const ID = "SPG2-0A1B2C3D";
const SKIP = needs("bundles", "mounts");
/** Each start gets a page further: lock, spool, key, request, certificate. */
const FREE_PAGES_MAX = 16;

test(
  "[STA-1] [ID-6] the agent's disk is read-only, then full at every step of the first boot: each is reported, and there is one identity",
  { skip: SKIP },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const disk = mountSmallDisk(rig.board.agentState, 64);
    t.teardown(() => disk.unmount());
    const hub = await rig.startHub();
    await rig.startWarden();

    disk.setReadOnly(true);
    const readOnly = await rig.startAgent();
    const waiting = await untilStatus(rig, "the fault", ({ enrolment }) => enrolment?.lastFault !== undefined);
    t.match(
      waiting,
      { life: "blank", enrolment: { lastFault: { code: "key.create-failed", message: /EROFS/u } } },
      "no key is made",
    );
    t.same(await keysAtHub(rig, ID), []);
    t.same(await readOnly.stop(), { code: 0, signal: null });
    disk.setReadOnly(false);

    const stuck: string[] = [];
    let approved: string | undefined;
    let connected = false;
    for (let pages = 0; !connected && pages < FREE_PAGES_MAX; pages += 1) {
      disk.fill(pages);
      const agent = rig.launchAgent();
      const started = await agent.line(/started/u).then(
        () => true,
        () => false,
      );
      if (!started) {
        t.match(
          { ...(await agent.ended), said: agent.lines.join("\n") },
          { code: 1, said: /file\.no-space: / },
          `${pages} pages`,
        );
        continue;
      }
      const waitsForUs = approved === undefined ? /no space|-> connected|enrol\.pending/iu : /no space|-> connected/iu;
      let line = await agent.line(waitsForUs);
      if (/enrol\.pending/u.test(line)) {
        approved = await approveOn(rig, hub, ID);
        line = await agent.line(/no space|-> connected/iu);
      }
      connected = line.includes("-> connected");
      if (!connected) {
        stuck.push(line);
        const { troubles, enrolment } = await rig.status();
        t.match([...troubles, enrolment?.lastFault?.message].join("\n"), /no space/iu, `${pages} pages: ${line}`);
      }
      t.same(await agent.stop(), { code: 0, signal: null });
    }
    t.ok(connected, "with room the first boot completes");
    t.ok(stuck.length >= 2, `a running agent said so: ${stuck.join("; ")}`);
    disk.empty();
    await (await rig.startAgent()).line(/life .* -> connected/u);
    await verifiedTrail(rig, ID, ["enrolment.completed"]);
    t.same(await keysAtHub(rig, ID), [approved]);
    t.equal((await birthOf(rig))?.keyFingerprint, approved);
  },
);

test(
  "[STA-1] [ID-6] the warden's disk and the birth record's are read-only or full: the agent waits and says why, and goes on when they are well",
  { skip: SKIP },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const disk = mountSmallDisk(rig.board.wardenState, 256);
    t.teardown(() => disk.unmount());
    const birth = mountSmallDisk(rig.board.birth, 16);
    t.teardown(() => birth.unmount());
    const hub = await rig.startHub();

    disk.setReadOnly(true);
    const readOnly = await rig.startWarden();
    t.match(readOnly.lines.join("\n"), /file\.read-only: /u, "[STA-50] it starts, and says so");
    t.same(await readOnly.stop(), { code: 0, signal: null });
    disk.setReadOnly(false);
    disk.fill(0);
    const full = rig.launchWarden();
    t.match({ ...(await full.ended), said: full.lines.join("\n") }, { code: 1, said: /file\.no-space: / });

    const agent = await rig.startAgent();
    t.match(
      await untilStatus(rig, "a status", () => true),
      { life: "blank", troubles: [/protocol\.closed: /u] },
      "no warden, no identity",
    );
    disk.empty();
    birth.setReadOnly(true);
    await rig.startWarden();
    const unborn = await untilStatus(rig, "the fault", ({ enrolment }) => enrolment?.lastFault !== undefined);
    t.match(
      unborn,
      { life: "blank", enrolment: { lastFault: { code: "file.read-only" } } },
      "without a birth record no certificate is requested",
    );
    t.same(await keysAtHub(rig, ID), []);
    birth.setReadOnly(false);

    const key = await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    t.equal((await birthOf(rig))?.keyFingerprint, key);
    const trail = await verifiedTrail(rig, ID, ["tunnel.connected"]);
    t.equal(trail.filter(({ event }) => event === "key.created").length, 1);
    t.same(await keysAtHub(rig, ID), [key]);
  },
);
