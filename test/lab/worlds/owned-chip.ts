// A TPM and the warden's ownership of it, in this process: real swtpm, files in memory, and a clock
// that a test moves.
import type { Fault } from "../../../hal/fault.ts";
import { linuxTpmChip } from "../../../hal/linux/chip/index.ts";
import type { DurableFiles, TpmChip } from "../../../hal/ports.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { type ChipOwnership, openChipOwnership } from "../../../warden/tpm/index.ts";
import { startSwtpm, type Swtpm } from "../counterparts/swtpm.ts";
import { type FakeClock, fakeClock } from "../fakes/clock.ts";
import { type FakeFiles, fakeFiles } from "../fakes/files.ts";
import type { TestContext } from "../runner/context.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

export interface OwnedChip {
  readonly files: FakeFiles;
  readonly clock: FakeClock;
  /** What came into the audit trail. */
  readonly records: AuditEntry[];
  readonly reported: Fault[];
  readonly swtpm: () => Swtpm;
  /** Cuts the power of the chip and switches it on again. */
  readonly cycle: () => Promise<void>;
  /** Opens the ownership as a start of the warden does. */
  readonly start: (options?: {
    readonly chip?: (chip: TpmChip) => TpmChip;
    readonly ownership?: "take" | "leave";
    readonly tcti?: string;
    readonly keyUnder?: string;
    readonly files?: DurableFiles;
  }) => Promise<ChipOwnership>;
}

export async function ownedChip(t: TestContext): Promise<OwnedChip> {
  const directory = await temporaryDirectory(t);
  let swtpm = await startSwtpm({ directory });
  t.teardown(() => swtpm.stop());
  const [files, clock] = [fakeFiles(), fakeClock()];
  const records: AuditEntry[] = [];
  const reported: Fault[] = [];
  return {
    files,
    clock,
    records,
    reported,
    swtpm: () => swtpm,
    cycle: async () => {
      await swtpm.cut();
      swtpm = await startSwtpm({ directory });
    },
    start: async ({
      chip = (real: TpmChip) => real,
      ownership = "take",
      tcti = swtpm.tcti,
      keyUnder,
      files: kept = files,
    } = {}) => {
      const opened = await openChipOwnership({
        chip: chip(linuxTpmChip({ tcti })),
        files: kept,
        clock,
        ownership,
        keyUnder,
        record: async (entry) => void records.push(entry),
        report: (fault) => void reported.push(fault),
      });
      t.teardown(() => opened.stop());
      return opened;
    },
  };
}
