// Hub time over HTTPS, verified as a warden verifies it.
import { randomBytes, verify } from "node:crypto";
import * as v from "valibot";
import { test } from "tap";
import { HUB_TIME_PATH, hubTimeResponseSchema, hubTimeSignedText } from "../../../ota/format/time.ts";
import { decodeVerifier, ed25519KeyObject } from "../../../warden/audit/format/index.ts";
import { ask, labHub } from "../../lab/worlds/hub.ts";

test("[ID-10] the hub signs its time for a device's nonce, before that device is known", async (t) => {
  const { hub } = await labHub(t);
  const nonce = randomBytes(32).toString("hex");
  const answer = await ask(hub, HUB_TIME_PATH, { type: "application/json", body: JSON.stringify({ deviceId: "gw-1", nonce }) });
  t.equal(answer.status, 200);
  const time = v.parse(hubTimeResponseSchema, JSON.parse(answer.body.toString()));
  t.equal(time.nonce, nonce);
  t.equal(time.deviceId, "gw-1");
  const key = ed25519KeyObject(decodeVerifier(hub.anchors.timeKey ?? "").publicKey);
  const signature = Buffer.from(time.signature, "base64");
  t.ok(verify(null, Buffer.from(hubTimeSignedText(time)), key, signature));
  t.notOk(
    verify(null, Buffer.from(hubTimeSignedText({ ...time, nonce: "0".repeat(64) })), key, signature),
    "for this nonce only",
  );
});

test("[ID-10] a malformed time request is refused with a reason", async (t) => {
  const { hub } = await labHub(t);
  const post = async (body: string) => (await ask(hub, HUB_TIME_PATH, { type: "application/json", body })).status;
  t.equal(await post("{}"), 400);
  t.equal(await post("not json"), 400);
  t.equal(await post(JSON.stringify({ deviceId: "gw-1", nonce: "short" })), 400);
  t.equal(await post(JSON.stringify({ deviceId: "a/b", nonce: "0".repeat(64) })), 400);
  t.equal(await post(JSON.stringify({ deviceId: "gw-1", nonce: "0".repeat(64), time: "now" })), 400, "an unknown member");
  t.equal(await post(`{"deviceId":"gw-1","nonce":"${"0".repeat(64)}","x":"${"y".repeat(3000)}"}`), 413);
});
