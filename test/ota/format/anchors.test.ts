import { test } from "tap";
import { parseAnchors } from "../../../agent/config.ts";
import { type HubAnchors, hubAddresses, hubServices } from "../../../ota/format/anchors.ts";
import { parseHubKeys } from "../../../warden/anchors.ts";
import { hubEndpoints } from "../../../warden/lockdown/machine-facts.ts";
import { anchorsFile, makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { NEVER_ASKED } from "../../lab/counterparts/pki.ts";

const OURS = anchorsFile(makeSigner("hub.example", "ed25519"), makeSigner("hub.example", "cosignature/v1"));

function withMembers(members: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...parseAnchors(OURS, "hub.json"), ...members });
}

const read = (members: Readonly<Record<string, unknown>>): HubAnchors => parseAnchors(withMembers(members), "hub.json");

test("[TUN-61] one host and two ports say where every service is", async (t) => {
  const anchors = read({ host: "hub.example", estPort: 8443, mqttPort: 8883 });
  const { authority } = anchors;
  const est = { host: "hub.example", port: 8443, authority };
  t.same(hubServices(anchors), {
    est,
    broker: { ...est, port: 8883 },
    repository: { ...est, path: "/repository" },
    time: est,
  });
  t.same(hubAddresses(anchors), [
    { host: "hub.example", port: 8443 },
    { host: "hub.example", port: 8883 },
  ]);
});

test("[TUN-61] [LCK-3] each service can have its own name, port and authority, and no policy may cut any of them", async (t) => {
  const other = NEVER_ASKED.replace("\n", "\n");
  const services = {
    est: { host: "ca.example", port: 443 },
    broker: { host: "2001:DB8:0:0::7", authority: other },
    repository: { host: "192.0.2.9", port: 443, path: "" },
    time: { port: 8444 },
  };
  const anchors = read({ host: "hub.example", estPort: 8443, mqttPort: 8883, services });
  const { authority } = anchors;
  t.same(hubServices(anchors), {
    est: { host: "ca.example", port: 443, authority },
    broker: { host: "2001:db8::7", port: 8883, authority: other },
    repository: { host: "192.0.2.9", port: 443, authority, path: "" },
    time: { host: "hub.example", port: 8444, authority },
  });
  t.same(hubEndpoints(parseHubKeys(Buffer.from(withMembers({ host: "hub.example", services })), "hub.json").place).slice(2), [
    { address: undefined, port: 443 },
    { address: "2001:db8::7", port: anchors.mqttPort },
    { address: "192.0.2.9", port: 443 },
    { address: undefined, port: 8444 },
  ]);
  for (const [wrong, path] of [
    [{ est: { host: "a b" } }, "services.est.host"],
    [{ broker: { authority: "" } }, "services.broker.authority"],
    [{ repository: { path: "/a/../b?c" } }, "services.repository.path"],
    [{ broker: { path: "/x" } }, "services.broker.path"],
    [{ witness: {} }, "services.witness"],
  ] as const)
    t.throws(() => read({ services: wrong }), { code: "config.invalid", message: path });
});

test("[TUN-62] a service is absent only where the anchors say null; what is missing or damaged is refused", async (t) => {
  const without = read({ timeKey: null, witnessKey: null });
  t.equal(hubServices(without).time, undefined);
  t.match(parseHubKeys(Buffer.from(withMembers({ timeKey: null, witnessKey: null })), "hub.json"), {
    time: undefined,
    witness: undefined,
  });
  for (const name of ["timeKey", "witnessKey"])
    for (const wrong of [undefined, "", "none", false, {}]) {
      t.throws(() => read({ [name]: wrong }), { code: "config.invalid", message: name });
      t.throws(() => parseHubKeys(Buffer.from(withMembers({ [name]: wrong })), "hub.json"), { code: "config.invalid" });
    }
});

test("[TUN-63] a hub can be named by an IPv6 literal, in any spelling, without brackets and zone", async (t) => {
  for (const [given, is] of [
    ["2001:db8::1", "2001:db8::1"],
    ["2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["::1", "::1"],
    ["fd00::a:0:0:1", "fd00::a:0:0:1"],
    ["192.0.2.1", "192.0.2.1"],
    ["Hub.Example", "Hub.Example"],
  ] as const)
    t.equal(read({ host: given }).host, is);
  for (const wrong of ["[2001:db8::1]", "fe80::1%eth0", "2001:db8:::1", "1:2:3", "2001:db8::1/64", "hub.example:443", ":", ""])
    t.throws(() => read({ host: wrong }), { code: "config.invalid", message: "host" }, wrong);
});
