// A captured agent with everything that its warden ever signed: deliveries that are valid one by
// one, and far too many. The witness answers each and keeps answering others, and neither its
// alerts nor its store grow with the flood.
import * as v from "valibot";
import { test, type Test } from "tap";
import { type AuditAnswer, auditAnswerSchema, type AuditUpload } from "../../agent/tunnel/format.ts";
import type { Hub } from "../../hub/index.ts";
import { JOURNAL_DIFFERENT_MAX } from "../../hub/limits.ts";
import { connect, enrolled, labDevice, type LabDevice, labHub, labLog, labMessage } from "../lab/worlds/hub.ts";

/** A connected device that sends without waiting, and the answers as they come. */
async function attacker(t: Test, hub: Hub, device: LabDevice) {
  const { client } = await connect(t, hub, device, await enrolled(hub, device));
  const answers: AuditAnswer["body"][] = [];
  client.on("message", (_topic, payload) => answers.push(v.parse(auditAnswerSchema, JSON.parse(payload.toString())).body));
  await client.subscribeAsync(`sallyport/1/${device.id}/down/audit`, { qos: 1 });
  return {
    /** Sends each under its own id. Resolves when the last is answered. */
    send: async (bodies: readonly AuditUpload["body"][]): Promise<readonly AuditAnswer["body"][]> => {
      const [before, wanted] = [answers.length, answers.length + bodies.length];
      const answered = new Promise<void>((resolve) =>
        client.on("message", () => {
          if (answers.length >= wanted) resolve();
        }),
      );
      await Promise.all(
        bodies.map(async (body) => client.publishAsync(`sallyport/1/${device.id}/up/audit`, labMessage(body), { qos: 1 })),
      );
      await answered;
      return answers.slice(before);
    },
  };
}

const alerts = async (hub: Hub) => hub.store.journal.tail(100_000, "alert");

test("[AUD-27] replaying every checkpoint that the warden ever signed raises alerts that are counted, not stored", async (t) => {
  const { hub } = await labHub(t);
  const [captured, honest] = [await labDevice("gw-1"), await labDevice("gw-2")];
  const [one, two] = [await attacker(t, hub, captured), await attacker(t, hub, honest)];
  const size = 400;
  const log = labLog(captured, size);
  for (let from = 0; from < size; from += 50) t.match(await one.send([log.delivery(from, from + 50)]), [{ answer: "cosigned" }]);
  const flood = one.send(Array.from({ length: size - 1 }, (_, n) => ({ ...log.delivery(0, n + 1), records: [] })));
  t.match(await two.send([labLog(honest, 3).delivery(0, 3)]), [{ answer: "cosigned" }], "another device is served meanwhile");
  const answers = await flood;
  t.ok(
    answers.every((answer) => answer.answer === "conflict"),
    "each is answered with the hub's size",
  );
  t.ok((await alerts(hub)).length <= JOURNAL_DIFFERENT_MAX + 1, `${(await alerts(hub)).length} alerts`);
  const told = (await alerts(hub)).reduce((sum, { times }) => sum + times, 0);
  t.equal(told, size - 1, "each of them is counted");
  t.match((await alerts(hub))[0], { event: "audit.rolled-back", deviceId: "gw-1", detail: { state: "a prefix of ours" } });
  await one.send([labLog(captured, 2, "two").delivery(0, 2)]);
  t.match((await alerts(hub)).at(-1), { event: "audit.forked", deviceId: "gw-1" }, "and a worse alert is still distinguished");
});

test("[AUD-8] the same delivery under a thousand ids is cosigned each time, and stored once", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const { send } = await attacker(t, hub, device);
  const log = labLog(device, 10);
  const answers = await send(Array.from({ length: 1000 }, () => log.delivery(0, 10)));
  t.ok(answers.every((answer) => answer.answer === "cosigned"));
  t.equal((await hub.store.audit.logs(device.id))[0]?.size, 10);
  t.same(await alerts(hub), []);
  const conflicts = await send(Array.from({ length: 500 }, () => labLog(device, 20).delivery(0, 20)));
  t.ok(conflicts.every((answer) => answer.answer === "conflict"));
  t.ok((await hub.store.journal.tail(100_000, "info")).length < 20, "the journal does not grow with it");
});
