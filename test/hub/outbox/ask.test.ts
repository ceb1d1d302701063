// Questions to devices from the command line beside a running hub: over mutual TLS, to a real MQTT
// client.
import { test } from "tap";
import { labHub } from "../../lab/worlds/hub.ts";
import { admitted, hubCommand, listening } from "../../lab/worlds/hub-cli.ts";

test("[OPS-6] an operation reaches a connected device once, and its complete result is printed", async (t) => {
  const { hub, state } = await labHub(t);
  const large = "x".repeat(100_000);
  const { heard } = await listening(t, hub, await admitted(hub, "gw-1"), ({ operation, args }) =>
    operation === "audit.tail"
      ? { result: { args, large } }
      : { fault: { code: "operation.denied", message: "not \u001b[2J you" } },
  );
  const asked = await hubCommand(state, "ask", "gw-1", "audit.tail", "--args", '{"count":3}', "--json");
  t.equal(asked.code, 0, asked.err.join());
  t.match(asked.data, {
    deviceId: "gw-1",
    operation: "audit.tail",
    id: /^[0-9a-f-]{36}$/,
    state: "answered",
    result: { args: { count: 3 }, large },
  });
  const refused = await hubCommand(state, "ask", "gw-1", "status");
  t.match(refused, { code: 1, out: [], err: [/operation\.denied: "gw-1" refused: not \?\[2J you/] });
  t.equal(heard.length, 2, "each was sent once");
  const journal = (await hub.store.journal.tail(10, "info")).filter(({ event }) => event.startsWith("operation."));
  t.match(journal, [
    { event: "operation.asked", deviceId: "gw-1", detail: { operation: "audit.tail", by: String } },
    { event: "operation.answered", deviceId: "gw-1", detail: { outcome: "ok" } },
    { event: "operation.asked", detail: { operation: "status" } },
    { event: "operation.answered", detail: { outcome: "operation.denied" } },
  ]);
});

test("[OPS-6] without an answer the exit code is 3, and the message says whether the device has the question", async (t) => {
  const { hub, state } = await labHub(t);
  const known = await admitted(hub, "gw-1");
  const away = await hubCommand(state, "ask", "gw-1", "status", "--wait", "0s", "--json");
  t.match(away, { code: 3, err: [/hub\.no-answer.*withdrawn.*not connected/] });
  t.match(away.data, { state: "no-answer", delivered: false });
  const { heard } = await listening(t, hub, known);
  const silent = await hubCommand(state, "ask", "gw-1", "status", "--wait", "1s", "--json");
  t.match(silent, { code: 3, err: [/may still be performed/] });
  t.match(silent.data, { state: "no-answer", delivered: true });
  t.equal(heard.length, 1, "a withdrawn question is not sent when the device connects");
});

test("[OPS-6] an answer counts only from the asked device, for the question, and once", async (t) => {
  const { hub, state } = await labHub(t);
  const liar = await listening(t, hub, await admitted(hub, "gw-2"));
  const answer = (id: string, text: string) => ({ kind: "operation", answer: { v: 1, id, result: { text } } });
  const sent: Promise<void>[] = [];
  const say = async (id: string): Promise<void> => {
    await liar.report("result", answer(id, "from another"));
    await mine.report("result", answer("never-asked", "of nothing"));
    await mine.report("result", answer(id, "mine"));
    await mine.report("result", answer(id, "changed my mind"));
  };
  const mine = await listening(t, hub, await admitted(hub, "gw-1"), ({ id }) => {
    sent.push(say(id));
    return undefined;
  });
  t.match((await hubCommand(state, "ask", "gw-1", "status", "--wait", "5s")).out, [/mine/]);
  await Promise.all(sent);
});

test("wrong usage is reported before anything is sent", async (t) => {
  const { hub, state } = await labHub(t);
  await admitted(hub, "gw-1");
  t.match(await hubCommand(state, "ask", "gw-1", "sta tus"), {
    code: 2,
    err: [/OPERATION "sta tus"/, /usage: sallyport-hub ask/],
  });
  t.match(await hubCommand(state, "ask", "gw-1", "status", "--args", "[1]"), {
    code: 2,
    err: [/--args must be a JSON object/, /usage/],
  });
  t.match(await hubCommand(state, "ask", "gw-9", "status"), { code: 1, err: [/hub\.device-unknown: .*devices list/] });
  t.match(await hubCommand(state, "ask", "gw-1", "status", "--wait", "soon"), {
    code: 2,
    err: [/--wait must be a number with s/, /usage/],
  });
});
