// The board under the warden, looked at again whenever the agent asks who the device is: drivers of
// network cards may come after the warden. [ID-96]
import { Fault } from "../../hal/fault.ts";
import type { Board } from "../../hal/format/identity.ts";
import type { DurableFiles, Hardware } from "../../hal/ports.ts";
import { boardOf, readAdmittedBoard } from "./board.ts";
import type { BirthBook } from "./birth.ts";
import type { BoardVerdict } from "./format.ts";
import { settleIdentity } from "./settle.ts";

export interface BoardWatch {
  /** @returns undefined before the birth, and while the hardware cannot be read. */
  look(): Promise<{ readonly verdict: BoardVerdict; readonly found: Board } | undefined>;
  /** Of the last look. */
  troubles(): readonly Fault[];
}

export interface BoardWatchOptions {
  readonly hardware: Pick<Hardware, "facts">;
  readonly births: Pick<BirthBook, "known">;
  /** Those of the birth record. */
  readonly files: Pick<DurableFiles, "get">;
  /** What the start found. */
  readonly trouble: Fault | undefined;
  /** Records that the board is another one. Never throws. */
  readonly onOther: (trouble: Fault) => Promise<void>;
}

export function createBoardWatch({ hardware, births, files, trouble: first, onOther }: BoardWatchOptions): BoardWatch {
  let trouble = first;
  let isTold = false;
  return {
    look: async () => {
      const birth = births.known();
      if (birth === undefined) return undefined;
      try {
        const settled = settleIdentity(await hardware.facts(), birth, await readAdmittedBoard(files));
        trouble = settled.trouble;
        const verdict = verdictOf(trouble);
        if (verdict === "other" && trouble !== undefined && !isTold) {
          isTold = true;
          await onOther(trouble);
        }
        return { verdict, found: boardOf(settled.identity) };
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        return undefined;
      }
    },
    troubles: () => (trouble === undefined ? [] : [trouble]),
  };
}

function verdictOf(trouble: Fault | undefined): BoardVerdict {
  if (trouble?.code === "identity.other-board") return "other";
  // `identity.no-source`: nothing of the board is known any more, which is a change too
  return trouble === undefined ? "same" : "changed";
}
