// Attacks on updates: releases that nobody signed, and writes that nobody waits for.
import { type AttacksOn, slotsOf } from "./attack.ts";

export const UPDATE_ATTACKS: AttacksOn<"update"> = {
  "update.read": async ({ t, peer, refused }) => {
    await refused("update.read", { slot: "b" }, /protocol\.invalid/u);
    await refused("update.read", { path: "/etc/shadow" }, /protocol\.invalid/u);
    const answer = await peer.ask("update.read", {});
    t.match(answer, { result: { phase: "idle" } });
    t.notMatch(JSON.stringify(answer), /expects|awaitsOrder|private|secret/iu, "nothing is expected, nothing waits for an order");
  },

  "update.begin": async ({ t, lab, peer, refused }) => {
    const before = slotsOf(lab);
    for (const args of [
      {},
      { target: "os/gateway-9" },
      { target: "../../etc/shadow", absent: [] },
      { target: "os/../../etc/shadow", absent: [] },
      { target: "os//gateway-9", absent: [] },
      { target: "/os/gateway-9", absent: [] },
      { target: "os/", absent: [] },
      { target: "root/gateway-9", absent: [] },
      { target: `os/${"g".repeat(129)}`, absent: [] },
      { target: "os/gateway-9\n", absent: [] },
      { target: ["os/gateway-9"], absent: [] },
      { target: "os/gateway-9", absent: ["../../etc/shadow"] },
      { target: "os/gateway-9", absent: Array.from({ length: 17 }, () => "a") },
      { target: "os/gateway-9", absent: [], slot: "a" },
      { target: "os/gateway-9", absent: [], digest: "ab".repeat(32) },
      { target: "os/gateway-9", absent: [], manifest: { v: 1, store: "store", parts: [] } },
      { target: "os/gateway-9", absent: [], ordered: true },
      { target: "os/gateway-9", absent: [], approval: "signed" },
    ])
      await refused("update.begin", args, /protocol\.invalid/u);
    const everything = ["metadata/2.root.json", "metadata/timestamp.json", "metadata/1.snapshot.json", "metadata/1.targets.json"];
    for (const target of ["os/gateway-9", "app/agent-9", "policy/open.json", "operators/roster.json", "hub/hub.json"])
      for (const absent of [[], everything]) {
        const answer = JSON.stringify(await peer.ask("update.begin", { target, absent }));
        t.match(answer, /"fault"|"wanted"/u, `${target}: nothing is begun that nobody signed`);
      }
    t.match(await peer.ask("update.read", {}), { result: { phase: "idle" } });
    t.same(slotsOf(lab), before, "neither slot nor boot choice has changed");
  },

  "update.write": async ({ t, lab, peer, refused }) => {
    const before = slotsOf(lab);
    const range = { part: "root", from: 0, to: 1 };
    for (const args of [
      {},
      { ...range, part: "boot" },
      { ...range, part: "../a.img" },
      { ...range, part: "__proto__" },
      { ...range, from: -1 },
      { ...range, to: 2 ** 53 },
      { ...range, to: 0.5 },
      { ...range, from: "0" },
      { ...range, slot: "a" },
      { ...range, handover: "/etc" },
      { ...range, bytes: "AAAA" },
    ])
      await refused("update.write", args, /protocol\.invalid/u);
    for (const args of [range, { ...range, to: Number.MAX_SAFE_INTEGER }, { part: "kernel", from: 0, to: 0 }])
      await refused("update.write", args, /update\.not-waiting/u);
    t.match(await peer.ask("update.read", {}), { result: { phase: "idle" } });
    t.same(slotsOf(lab), before, "neither slot nor boot choice has changed");
  },

  "update.abandon": async ({ t, lab, peer, refused }) => {
    const before = slotsOf(lab);
    const words = { code: "chunk.missing", message: "there is none" };
    for (const args of [
      {},
      { code: "chunk.missing" },
      { message: "there is none" },
      { ...words, code: "shell.run" },
      { ...words, code: "__proto__" },
      { ...words, message: "x".repeat(257) },
      { ...words, message: ["there is none"] },
      { ...words, target: "os/gateway-9" },
      { ...words, slot: "a" },
      { ...words, phase: "rolled-back" },
      { ...words, by: "owner" },
    ])
      await refused("update.abandon", args, /protocol\.invalid/u);
    for (const message of ["", words.message, "\u001b[2J\r\n", "\ud800"])
      await refused("update.abandon", { ...words, message }, /update\.not-waiting/u);
    t.match(await peer.ask("update.read", {}), { result: { phase: "idle" } });
    t.same(slotsOf(lab), before, "neither slot nor boot choice has changed");
  },
};
