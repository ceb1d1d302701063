// The audit log in a machine whose power is cut: a real kernel and ext4 on a disk that forgets or
// tears, sector by sector, what was not flushed. The cuts fall where the log relies on the disk:
// the first write with its zeros, records over zeros, and the end of a segment.
import { test } from "tap";
import type { CutReport, Loss } from "../lab/gateway/disk.ts";
import { type Gateway, openGateway } from "../lab/gateway/gateway.ts";
import { probeImage } from "../lab/gateway/probe/image.ts";
import { needs } from "../lab/runner/needs.ts";
import { SEGMENT_RECORDS } from "../../warden/audit/format/index.ts";

const BOOT_MS_MAX = 180_000;
const STEP_MS_MAX = 90_000;

/**
 * Seeds that tear the first write: of its first eight sectors 1, 3, 5, 6 and 1, 3, 4, 5, 7 survive.
 */
const [SEED_A, SEED_B] = [6, 14];

interface Case {
  readonly title: string;
  /** Records answered before the cut is prepared; with 0 the cut falls on the first write. */
  readonly answers: number;
  /** Records in one write: many are torn between, few within. */
  readonly width: number;
  readonly loss: Loss;
}

const DROP = { kind: "drop" } as const;
const TEAR_A = { kind: "tear", seed: SEED_A } as const;
const TEAR_B = { kind: "tear", seed: SEED_B } as const;

const CASES: readonly Case[] = [
  { title: "while a log begins, with its zeros", answers: 0, width: 1, loss: TEAR_A },
  { title: "while records overwrite zeros", answers: 40, width: 1, loss: DROP },
  { title: "torn, while records overwrite zeros", answers: 15, width: 1, loss: TEAR_A },
  { title: "torn, while many overwrite zeros in one write", answers: 24, width: 8, loss: TEAR_B },
  { title: "torn, after the end of a segment", answers: SEGMENT_RECORDS, width: 1, loss: TEAR_A },
];

test(
  "[AUD-10] [AUD-45] power cuts of an audit log in a whole machine",
  { skip: needs("qemu", "image"), timeout: 1_500_000 },
  async (t) => {
    const gateway = await openGateway({ image: await probeImage(), tpm: false, processors: 1 });
    t.teardown(() => gateway.stop());
    const boot = async (): Promise<void> => {
      await gateway.powerOn();
      await gateway.waitFor(/probe ready/u, BOOT_MS_MAX);
    };
    const check = async (): Promise<{ readonly size: number; readonly said: string }> => {
      gateway.type("audit check\n");
      const [said, size] = await gateway.waitFor(/checked (\d+) recovered \d+ [^\n]*\./u, STEP_MS_MAX);
      await gateway.waitFor(/probe ready/u, STEP_MS_MAX);
      return { size: Number(size), said };
    };
    const last = (): number => Number(/[\s\S]*appended (\d+)\./u.exec(gateway.transcript())?.[1] ?? -1);

    await boot();
    for (const { title, answers, width, loss } of CASES) {
      const atStart = answers === 0 ? cutAtFlush(gateway, loss, "audit.started") : undefined;
      gateway.type(`audit append 20000 ${width}\n`);
      if (answers > 0) {
        const [, first] = await gateway.waitFor(/appended (\d+)\./u, STEP_MS_MAX);
        await gateway.waitFor(new RegExp(`appended ${Number(first) + answers}\\.`, "u"), STEP_MS_MAX);
      }
      const report = await (atStart ?? cutAtFlush(gateway, loss, "tunnel.connected"));
      const answered = last();
      await boot();
      const { size, said } = await check();
      t.ok(
        size > answered && said.endsWith("sound."),
        `${title}: ${answered} was answered last, ${said} ${JSON.stringify(report)}`,
      );
      t.ok(report.dropped + report.torn > 0, `control: something was lost ${JSON.stringify(report)}`);
    }

    gateway.type("audit append 60 1 without-sync\n");
    await gateway.waitFor(/appended \d+\.(?![\s\S]*appended)[\s\S]*probe ready/u, STEP_MS_MAX);
    const answered = last();
    await gateway.cut({ kind: "drop" });
    await boot();
    const { size, said } = await check();
    t.ok(size <= answered, `control: without O_DSYNC answered records are lost: ${answered} was answered last, ${said}`);
  },
);

/** Cuts the power when the machine wants a write flushed that has `mark` in it. */
function cutAtFlush(gateway: Gateway, loss: Loss, mark: string): Promise<CutReport> {
  let isWritten = false;
  return new Promise((resolve, reject) => {
    const unwatch = gateway.watchDisk(({ kind, content }) => {
      isWritten ||= content.includes(mark);
      if (kind !== "flush" || !isWritten) return;
      unwatch();
      gateway.cut(loss).then(resolve, reject);
    });
  });
}
