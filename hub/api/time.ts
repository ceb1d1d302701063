// Hub time, signed together with the client's nonce. Anybody may ask: a device needs the time
// before it can enrol. [ID-10]
import { sign } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { parseJson } from "../../hal/format/json.ts";
import { HUB_TIME_BYTES_MAX, HUB_TIME_PATH, hubTimeRequestSchema, hubTimeSignedText } from "../../ota/format/time.ts";
import type { NoteSigner } from "../authority/index.ts";

export function timeRoute(server: FastifyInstance, signer: NoteSigner): void {
  server.post(HUB_TIME_PATH, (request, reply) => {
    const { body } = request;
    if (!(body instanceof Uint8Array)) throw new Fault("schema.invalid", "the body is empty: expected {deviceId, nonce} as JSON");
    const { deviceId, nonce } = check(hubTimeRequestSchema, parseJson(body, HUB_TIME_BYTES_MAX, "time request"), "time request");
    const stated = { deviceId, nonce, time: new Date().toISOString() };
    const signature = sign(null, Buffer.from(hubTimeSignedText(stated)), signer.privateKey).toString("base64");
    return reply.type("application/json").send(JSON.stringify({ ...stated, signature }));
  });
}
