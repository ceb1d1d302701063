// A check of the repository: what the agent finds out by itself, and what it brings to the warden.
import { rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import type { Repository } from "../../../ota/fetch/index.ts";
import { labKey, signed } from "../../lab/counterparts/repository.ts";
import { emptyRepository, lastPhase, publishedMetadata, reports, skip, until } from "./published.ts";

test(
  "[OTA-40] [OTA-42] after a connection the warden gets every file it wants, or hears that there is none, and no file stays behind",
  { skip },
  async (t) => {
    const lab = await emptyRepository(t);
    lab.lab.rotate("timestamp");
    lab.lab.publish("root", "timestamp");
    await lab.publish();
    const releases = lab.start();
    t.teardown(() => releases.stop());
    releases.connected();
    await until("a check", () => lab.warden.asked.includes("lockdown.read"));
    const { state } = await lab.warden.client.call("trust.refresh", { absent: [] });
    t.equal(state, "wanted", "the handover directory is empty, so a new request has to want the next root");
    t.ok(lab.warden.asked.filter((verb) => verb === "trust.refresh").length > 8, "one file for each request");
    t.same(await lab.dropped(), []);
    t.same(releases.faults(), []);
    t.match(reports(lab), [{ phase: "idle" }]);
    t.equal(reports(lab).length, 1, "the state of the update is reported once");
  },
);

test("a repository that is down is tried again, and the warden is not involved meanwhile", { skip }, async (t) => {
  const lab = await publishedMetadata(t);
  const dead: Repository & { close(): void } = {
    get: async () => {
      throw new Fault("fetch.unreachable", "nobody answers");
    },
    close: () => undefined,
  };
  let isDown = true;
  const releases = lab.start({ repository: () => (isDown ? dead : lab.places.repository()) });
  releases.connected();
  await until("a fault", () => releases.faults().some(({ code }) => code === "fetch.unreachable"));
  t.notOk(lab.warden.asked.includes("trust.refresh"));
  isDown = false;
  await until("a check that succeeds", () => releases.faults().length === 0);
  t.ok(lab.warden.asked.includes("trust.refresh"));
});

test("a repository in which nothing was ever published is no fault; one that loses its timestamp is", { skip }, async (t) => {
  const lab = await emptyRepository(t);
  const releases = lab.start();
  const checks = (): number => lab.warden.asked.filter((verb) => verb === "lockdown.read").length;
  releases.connected();
  await until("a check", () => checks() === 1);
  t.same(releases.faults(), []);
  t.notOk(lab.warden.asked.includes("trust.refresh"));
  releases.updateHinted("os/early.json");
  await until("the report", () => lastPhase(lab) === "failed");
  await lab.publish();
  releases.repositoryChanged();
  await until("a check of what was published", () => checks() === 2);
  t.same(releases.faults(), []);
  await rm(join(lab.directory, "metadata/timestamp.json"));
  releases.repositoryChanged();
  await until("a fault", () => releases.faults().some(({ code }) => code === "trust.missing"));
});

test(
  "[OTA-1] the agent's own store refuses damaged metadata and metadata signed by others: recorded once, and kept from the warden",
  { skip },
  async (t) => {
    const lab = await publishedMetadata(t);
    const timestamp = join(lab.directory, "metadata/timestamp.json");
    const releases = lab.start();
    const attacks: readonly [string, () => Promise<void>][] = [
      ["trust.invalid", () => writeFile(timestamp, "{ this is no JSON")],
      ["trust.bad-signature", () => writeFile(timestamp, signed({ ...lab.lab.timestamp, version: 9 }, [labKey()]))],
      ["fetch.too-large", () => writeFile(timestamp, Buffer.alloc(40_000, "x"))],
      ["trust.invalid", () => truncate(timestamp, 100)],
    ];
    for (const [code, attack] of attacks) {
      await attack();
      releases.repositoryChanged();
      await until(code, () => releases.faults().some((fault) => fault.code === code));
    }
    t.notOk(lab.warden.asked.includes("trust.refresh"));
    t.same(
      lab.notes.map(({ event, detail }) => [event, detail?.["code"]]),
      [
        ["input.refused", "trust.invalid"],
        ["input.refused", "trust.bad-signature"],
        ["input.refused", "trust.invalid"],
      ],
      "one record for each change of the cause, however many checks there were",
    );
    await lab.publish();
    releases.repositoryChanged();
    await until("a check that succeeds", () => lab.warden.asked.includes("trust.refresh"));
  },
);

test("without a root in the image nothing new is taken up, and the status says so", { skip }, async (t) => {
  const lab = await publishedMetadata(t);
  const releases = lab.start({
    imageRoot: async () => {
      throw new Fault("config.unreadable", "there is no such file");
    },
  });
  releases.repositoryChanged();
  await until("a fault", () => releases.faults().some(({ code }) => code === "config.unreadable"));
  t.notOk(lab.warden.asked.includes("trust.refresh"));
});
