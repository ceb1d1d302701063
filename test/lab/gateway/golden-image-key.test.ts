// The golden image is built again when its sources changed or it is too old, but not during a run
// that began with a young one.
import { test } from "tap";
import { projectFiles } from "../runner/sources.ts";
import { goldenImageSources, newestOf } from "./golden-image-key.ts";

const HOUR_MS = 3_600_000;
const STATE = "0123456789abcdef";
const NOON_MS = Date.UTC(2026, 10, 22, 12);

const made = (atMs: number, state = STATE): string => `golden-${newestOf([], state, atMs, 0)}`;
const found = (names: readonly string[], nowMs: number, ageMsMax: number): string =>
  `golden-${newestOf(names, STATE, nowMs, ageMsMax)}`;

test("an image that was young enough when the run began is valid for all its files", async (t) => {
  const kept = [made(NOON_MS - 11 * HOUR_MS)];
  t.equal(found(kept, NOON_MS - 1, 11 * HOUR_MS), kept[0], "the run begins");
  t.equal(found(kept, NOON_MS + HOUR_MS / 2, 12 * HOUR_MS), kept[0], "a file of it begins");
  t.equal(found(kept, NOON_MS + 1, 11 * HOUR_MS), made(NOON_MS + 1), "the next run builds another one");
});

test("the newest of this state is taken, none of another state, from the future or half made", async (t) => {
  const [old, young] = [made(NOON_MS - 2 * HOUR_MS), made(NOON_MS - HOUR_MS)];
  const others = [made(NOON_MS, "fedcba9876543210"), made(NOON_MS + HOUR_MS), `golden-${STATE}`, `new-${young}-1-abcdef`];
  t.equal(found([old, young, ...others], NOON_MS, 12 * HOUR_MS), young);
  t.equal(found(others, NOON_MS, 12 * HOUR_MS), made(NOON_MS));
});

test("the key covers everything that goes into the image", async (t) => {
  const sources = goldenImageSources();
  const wanted = [
    "build/image/root/etc/fstab",
    "build/image/system.ts",
    "build/release/image.ts",
    "build/units/usr/lib/sallyport/own-disk",
    "test/lab/worlds/board.ts",
    "test/lab/gateway/address.ts",
    "test/lab/gateway/images.ts",
    "test/lab/gateway/golden-image.ts",
    "test/lab/worlds/hub-process.ts",
    "test/lab/worlds/hub-cli-json.ts",
    "test/lab/counterparts/operator-keys.ts",
    "test/lab/worlds/release-tool.ts",
  ];
  t.same(
    wanted.filter((path) => !sources.includes(path)),
    [],
  );
  const there = projectFiles();
  t.same(
    sources.filter((path) => !there.includes(path)),
    [],
  );
  t.notOk(sources.includes("test/lab/gateway/gateway.ts"), "and nothing that is only used beside it");
});
