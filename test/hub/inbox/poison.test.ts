// One message of a device that cannot be stored, among others that can.
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { createInbox } from "../../../hub/inbox/index.ts";
import { openStore } from "../../../hub/store/index.ts";
import type { Witness } from "../../../hub/witness/index.ts";
import * as v from "valibot";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const UNPLAYED: Witness = {
  receive: () => Promise.reject(new Fault("hub.store-failed", "not played")),
  vouch: () => ({ answer: "refused", reason: "not played" }),
};
const DEVICE = v.parse(deviceIdSchema, "gw-1");
const uuid = (n: number): string => `3b241101-e2bb-4255-8caf-4136c566a9${String(n).padStart(2, "0")}`;
const message = (n: number, body: object): Buffer =>
  Buffer.from(JSON.stringify({ v: 1, id: uuid(n), at: "2026-01-01T00:00:00.000Z", body }));

test("[STA-15] a message that cannot be stored holds up none of those that can; they are acknowledged first", async (t) => {
  const store = await openStore(join(await temporaryDirectory(t), "hub.db"));
  t.teardown(() => store.close());
  const broken = { isBroken: true };
  const inbox = createInbox({
    store: {
      ...store,
      commit: async (...changes) => {
        if (broken.isBroken && changes.some(({ statements }) => JSON.stringify(statements).includes(uuid(1))))
          throw new Fault("hub.store-failed", "a damaged page");
        return await store.commit(...changes);
      },
    },
    witness: UNPLAYED,
    journal: () => undefined,
    onReceived: () => undefined,
    onAnswer: () => undefined,
  });
  const outcomes: string[] = [];
  const accept = (n: number): void =>
    void inbox.accept(DEVICE, "event", message(n, { kind: "lab.count", n }), (fault) =>
      outcomes.push(`${n}: ${fault?.code ?? "stored"}`),
    );
  for (let n = 0; n < 6; n++) accept(n);
  await inbox.flush();
  t.same(outcomes, ["0: stored", "2: stored", "3: stored", "4: stored", "5: stored", "1: hub.store-failed"]);
  t.same(
    [
      ...(await store.messages.known(
        DEVICE,
        [0, 1, 2, 3, 4, 5].map((n) => uuid(n)),
      )),
    ].sort(),
    [0, 2, 3, 4, 5].map((n) => uuid(n)),
  );
  broken.isBroken = false;
  accept(1);
  await inbox.flush();
  t.equal(outcomes.at(-1), "1: stored");
});

test("[STA-15] where nothing can be stored, two messages are tried and the others are refused with them", async (t) => {
  const store = await openStore(join(await temporaryDirectory(t), "hub.db"));
  t.teardown(() => store.close());
  let commits = 0;
  const inbox = createInbox({
    store: { ...store, commit: () => (commits++, Promise.reject(new Fault("hub.store-failed", "the disk is full"))) },
    witness: UNPLAYED,
    journal: () => undefined,
    onReceived: () => undefined,
    onAnswer: () => undefined,
  });
  const outcomes: (string | undefined)[] = [];
  for (let n = 0; n < 20; n++)
    inbox.accept(DEVICE, "event", message(n, { kind: "lab.count", n }), (fault) => outcomes.push(fault?.code));
  await inbox.flush();
  t.same(
    outcomes,
    Array.from({ length: 20 }, () => "hub.store-failed"),
  );
  t.equal(commits, 3);
});
