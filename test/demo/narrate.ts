// How the demo speaks: in colour on a terminal, plain when piped, one JSON event a line with --json. Says only what was really done.

export interface Narrator {
  /** A step as it begins; the function's findings are shown when it ends, with the time it took. @returns what `act` returns. */
  readonly step: <T>(title: string, act: (say: Say) => Promise<T>) => Promise<T>;
  /** A step this machine can't show, and why. */
  readonly skipped: (title: string, why: string) => void;
  /** Free words between steps; not part of --json. */
  note(text: string): void;
  /** The last line. @returns the exit code: 0 only if each step really happened. */
  summary(extra?: Readonly<Record<string, unknown>>): number;
}

/** Adds a line of evidence to the step under way. */
export type Say = (label: string, value: string) => void;

interface StepReport {
  readonly title: string;
  readonly ok: boolean;
  readonly ms: number;
}

const PAINT = { bold: "1", dim: "2", green: "32", red: "31", yellow: "33", cyan: "36" } as const;

export function createNarrator(output: NodeJS.WritableStream & { readonly isTTY?: boolean }, json: boolean): Narrator {
  const started = performance.now();
  const reports: StepReport[] = [];
  const skips: { title: string; why: string }[] = [];
  const colour = output.isTTY === true && process.env["NO_COLOR"] === undefined && !json;
  const paint = (how: keyof typeof PAINT, text: string): string => (colour ? `\u001b[${PAINT[how]}m${text}\u001b[0m` : text);
  const line = (text: string): void => void output.write(`${text}\n`);
  const event = (fields: Readonly<Record<string, unknown>>): void =>
    line(JSON.stringify({ at: new Date().toISOString(), ...fields }));

  async function step<T>(title: string, act: (say: Say) => Promise<T>): Promise<T> {
    const number = reports.length + 1;
    const begun = performance.now();
    const evidence: Record<string, string> = {};
    if (json) event({ event: "step-started", step: number, title });
    else line(`${paint("cyan", String(number).padStart(2))} ${paint("bold", title)}`);
    const say: Say = (label, value) => {
      evidence[label] = value;
      if (!json)
        for (const [index, part] of value.split("\n").entries())
          line(`     ${paint("dim", (index === 0 ? label : "").padEnd(13))} ${part}`);
    };
    try {
      const outcome = await act(say);
      finish(true);
      return outcome;
    } catch (error) {
      say("failed", error instanceof Error ? causes(error) : String(error));
      finish(false);
      throw error;
    }
    function finish(ok: boolean): void {
      const ms = Math.round(performance.now() - begun);
      reports.push({ title, ok, ms });
      if (json) event({ event: "step-ended", step: number, title, ok, ms, evidence });
      else line(`     ${ok ? paint("green", "done") : paint("red", "FAILED")} ${paint("dim", `in ${spoken(ms)}`)}`);
    }
  }

  return {
    step,
    skipped: (title, why) => {
      skips.push({ title, why });
      if (json) event({ event: "step-skipped", title, why });
      else line(` ${paint("yellow", "-")} ${paint("bold", title)}\n     ${paint("yellow", "skipped")}       ${why}`);
    },
    note: (text) => {
      if (!json) line(text === "" ? "" : paint("dim", text));
    },
    summary: (extra = {}) => {
      const failed = reports.filter(({ ok }) => !ok).length;
      const ms = Math.round(performance.now() - started);
      if (json)
        event({
          event: "summary",
          ok: failed === 0,
          passed: reports.length - failed,
          failed,
          skipped: skips.length,
          ms,
          ...extra,
        });
      else
        line(
          `\n${failed === 0 ? paint("green", "all steps happened") : paint("red", `${failed} step failed`)}: ${reports.length - failed} done, ${failed} failed, ${skips.length} skipped, in ${spoken(ms)}`,
        );
      return failed === 0 ? 0 : 1;
    },
  };
}

function spoken(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** An error with what caused it, outermost first. */
function causes(error: Error): string {
  const cause: unknown = error.cause;
  return cause instanceof Error ? `${error.message}\nbecause ${causes(cause)}` : error.message;
}
