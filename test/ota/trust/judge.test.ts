import { test } from "tap";
import * as v from "valibot";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { floorAfterCommit, judgeTarget, type DeviceFacts, type Target } from "../../../ota/trust/index.ts";
import { audienceSchema, reachOf } from "../../../ota/trust/format/index.ts";
import { labCustom } from "../../lab/counterparts/repository.ts";

const device: DeviceFacts = {
  id: v.parse(deviceIdSchema, "gw-1"),
  hardware: "acme-gw-a",
  tenant: "acme",
  groups: ["north"],
  floors: new Map([["os", 5]]),
};

function target(custom: unknown, path = "os/gateway-7.json"): Target {
  return { path, role: "os", file: { length: 1, hashes: new Map([["sha256", "0".repeat(64)]]), custom } };
}

function verdict(custom: unknown, path?: string, change: Partial<DeviceFacts> = {}): string {
  const judged = judgeTarget(target(custom, path), { ...device, ...change });
  return judged.kind === "accepted" ? "accepted" : judged.reason;
}

const os = { line: "os", counter: 7 };

test("[OTA-11] which devices an audience names", async (t) => {
  for (const [audience, expected] of [
    [undefined, "audience"],
    [{}, "audience"],
    [{ tenant: "acme" }, "audience"],
    [{ everyone: true }, "accepted"],
    [{ everyone: true, tenant: "acme" }, "accepted"],
    [{ everyone: true, tenant: "other" }, "audience"],
    [{ devices: ["gw-1"] }, "accepted"],
    [{ devices: ["gw-2"] }, "audience"],
    [{ devices: ["gw-1"], tenant: "other" }, "audience"],
    [{ groups: ["north"], tenant: "acme" }, "accepted"],
    [{ groups: ["south"], tenant: "acme" }, "audience"],
    [{ groups: ["north"], tenant: "other" }, "audience"],
    [{ groups: ["north"] }, "custom"],
    [{ groups: ["south"], devices: ["gw-1"], tenant: "acme" }, "accepted"],
    [{ everyone: false }, "custom"],
    [{ everyone: true, planet: "earth" }, "custom"],
    [{ devices: [] }, "custom"],
    [{ devices: ["../gw-1"] }, "custom"],
  ] as const)
    t.equal(verdict({ ...labCustom(os), audience }), expected, JSON.stringify(audience));
});

test("[OTA-11] a device that is assigned to no tenant is in no tenant's audience", async (t) => {
  t.equal(
    verdict(labCustom({ ...os, audience: { everyone: true, tenant: "acme" } }), undefined, { tenant: undefined }),
    "audience",
  );
  t.equal(verdict(labCustom({ ...os, audience: { everyone: true } }), undefined, { tenant: undefined }), "accepted");
});

test("[OTA-11] hardware must be named, or declared to be any", async (t) => {
  t.equal(verdict(labCustom({ ...os, hardware: { ids: ["acme-gw-b", "acme-gw-a"] } })), "accepted");
  t.equal(verdict(labCustom({ ...os, hardware: { ids: ["acme-gw-b"] } })), "hardware");
  t.equal(verdict({ ...labCustom(os), hardware: undefined }), "custom");
  t.equal(verdict({ ...labCustom(os), hardware: { ids: [] } }), "custom");
  t.equal(verdict({ ...labCustom(os), hardware: { any: true, ids: ["x"] } }), "custom");
});

test("[OTA-11] a target without custom, or with an unknown one, is for no device", async (t) => {
  for (const custom of [
    undefined,
    null,
    1,
    "os",
    [],
    {},
    { ...labCustom(os), v: 2 },
    { ...labCustom(os), extra: 1 },
    { ...labCustom(os), counter: 0 },
    { ...labCustom(os), counter: 1.5 },
  ])
    t.equal(verdict(custom), "custom", JSON.stringify(custom));
});

test("[OTA-11] a target's name is a role, a slash and a plain name", async (t) => {
  for (const path of ["os", "os/", "os/../x", "os/a/b", "other/a", "os/.a", "os/a b", `os/${"a".repeat(200)}`, "/os/a"])
    t.equal(verdict(labCustom(os), path), "custom", path);
});

test("[OTA-12] a counter below the line's floor is refused, the floor itself is not", async (t) => {
  t.equal(verdict(labCustom({ ...os, counter: 4 })), "floor");
  t.equal(verdict(labCustom({ ...os, counter: 5 })), "accepted");
  t.equal(verdict(labCustom({ line: "os/recovery", counter: 1 })), "accepted", "another line has another floor");
});

test("[OTA-12] a role cannot claim another role's line, and so cannot raise its floor", async (t) => {
  t.equal(verdict(labCustom({ line: "os", counter: 9 }), "policy/a"), "line");
  t.equal(verdict(labCustom({ line: "policy", counter: 9 }), "policy/a"), "accepted");
  t.equal(verdict(labCustom({ line: "os/recovery", counter: 9 }), "os/a"), "accepted");
});

test("[OTA-21] the floor after a commit is the one released, or else the counter that was replaced; it never falls and never passes what runs", async (t) => {
  const custom = labCustom(os);
  t.equal(floorAfterCommit(custom, 6, 5), 6);
  t.equal(floorAfterCommit(custom, undefined, 5), 5);
  t.equal(floorAfterCommit({ ...custom, floorAfterCommit: 7 }, 6, 5), 7);
  t.equal(floorAfterCommit({ ...custom, floorAfterCommit: 3 }, 6, 5), 5);
  t.equal(floorAfterCommit({ ...custom, counter: 5 }, 8, 4), 5, "a step back within the floor stays installable");
  t.equal(verdict({ ...custom, floorAfterCommit: 8 }), "custom", "a floor above its own counter is invalid");
});

test("[OTA-11] whom an audience reaches is said in words, and nobody is said too", async (t) => {
  for (const [audience, expected] of [
    [undefined, undefined],
    [{}, undefined],
    [{ tenant: "acme" }, undefined],
    [{ everyone: true }, "every device"],
    [{ tenant: "acme", everyone: true }, 'every device of tenant "acme"'],
    [{ devices: ["gw-1", "gw-2"] }, "devices gw-1, gw-2"],
    [{ tenant: "acme", devices: ["gw-1"], groups: ["north"] }, 'device gw-1 and group north of tenant "acme"'],
    [{ devices: Array.from({ length: 10 }, (_, n) => `gw-${n}`) }, /^devices gw-0, .*gw-7 and 2 more$/u],
  ] as const) {
    const reach = reachOf(audience === undefined ? undefined : v.parse(audienceSchema, audience));
    if (expected instanceof RegExp) t.match(reach, expected);
    else t.equal(reach, expected);
  }
});
