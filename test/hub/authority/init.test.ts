// `init`: the content of the state directory, and that a hub is made only once.
import { copyFileSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { loadAuthority, readAnchors } from "../../../hub/authority/index.ts";
import { initHub, startHub } from "../../../hub/index.ts";
import { decodeVerifier } from "../../../warden/audit/format/index.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

test("init writes keys of mode 0600 into a directory of mode 0700, and anchors that name each key for its use", async (t) => {
  const state = join(await temporaryDirectory(t), "hub");
  const anchors = await initHub({ state, name: "Plant 7", hosts: ["hub.example", "192.0.2.7"], estPort: 9443 });
  t.equal(statSync(state).mode & 0o777, 0o700);
  for (const name of readdirSync(state)) t.equal(statSync(join(state, name)).mode & 0o777, 0o600, name);
  t.same(readAnchors(state), anchors);
  t.equal(anchors.host, "hub.example");
  t.equal(anchors.estPort, 9443);
  t.equal(decodeVerifier(anchors.timeKey ?? "").kind, "ed25519");
  t.equal(decodeVerifier(anchors.witnessKey ?? "").kind, "cosignature/v1");
});

test("a second init is refused: devices are pinned to the first authority", async (t) => {
  const state = await temporaryDirectory(t);
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] });
  await t.rejects(initHub({ state, name: "Plant 8", hosts: ["hub.example"] }), { code: "hub.already-initialised" });
});

test("an interrupted init may be run again", async (t) => {
  const state = await temporaryDirectory(t);
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] });
  rmSync(join(state, "hub.json"));
  t.throws(() => loadAuthority(state), { code: "hub.not-initialised" });
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] });
  t.equal(loadAuthority(state).anchors.name, "Plant 7");
});

test("[ID-24] a certificate life that no device could renew in time is refused, with the shortest one named", async (t) => {
  const state = join(await temporaryDirectory(t), "hub");
  for (const certificateLifeMs of [0, 25_000, 3_599_999])
    await t.rejects(initHub({ state, name: "Plant 7", hosts: ["hub.example"], certificateLifeMs }), {
      code: "config.invalid",
      message: /certificateLifeMs: expected a certificate life of 1 h at least/u,
    });
  t.ok(await initHub({ state, name: "Plant 7", hosts: ["hub.example"], certificateLifeMs: 3_600_000 }));
});

test("[ID-24] no way leads to a life that no device could renew in time: program, command line, and an edited settings file", async (t) => {
  const state = await temporaryDirectory(t);
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] });
  const on = { state, listen: "127.0.0.1", estPort: 0, mqttPort: 0 };
  const refusal = { code: "config.invalid", message: /expected a certificate life of 1 h at least/u };
  for (const certificateLifeMs of [0, 25_000, 3_599_999, Number.NaN])
    await t.rejects(startHub({ ...on, certificateLifeMs }), certificateLifeMs > 0 ? refusal : { code: "config.invalid" });
  await t.rejects(startHub({ ...on, certificateLifeMs: 11 * 366 * 86_400_000 }), { message: /10 years at most/u });
  for (const life of ["59m", "25s", "0d"])
    for (const command of [
      ["serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0"],
      ["init", "--name", "a", "--host", "b"],
    ])
      t.match(await hubCommand(state, ...command, "--certificate-life", life), {
        code: 1,
        err: [/certificate life of 1 h at least/u],
      });
  const file = join(state, "settings.json");
  const settings = readFileSync(file, "utf8");
  writeFileSync(file, settings.replace(/"certificateLifeMs": ?\d+/u, '"certificateLifeMs":25000'));
  t.not(readFileSync(file, "utf8"), settings);
  await t.rejects(startHub(on), refusal);
});

test("all wrong options are reported together, before anything is written", async (t) => {
  const state = join(await temporaryDirectory(t), "hub");
  await t.rejects(initHub({ state, name: "", hosts: ["hub.example"] }), Fault);
  await t.rejects(initHub({ state, name: "Plant 7", hosts: ["not a host", "-x"] }), {
    code: "config.invalid",
    message: /hosts\.0.*hosts\.1/s,
  });
  t.throws(() => statSync(state));
});

test("a server key without its certificate, after a crash between the two files, is replaced", async (t) => {
  const [state, other] = [await temporaryDirectory(t), await temporaryDirectory(t)];
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] });
  await initHub({ state: other, name: "Plant 7", hosts: ["hub.example"] });
  t.equal(await loadAuthority(state).renewServer(Date.now()), undefined, "nothing is due");
  copyFileSync(join(other, "server.key"), join(state, "server.key"));
  t.ok(await loadAuthority(state).renewServer(Date.now()));
  t.equal(await loadAuthority(state).renewServer(Date.now()), undefined);
});
