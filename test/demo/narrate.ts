// The demo's narrator: one verdict a step for people, all evidence with --verbose, one JSON event a
// line with --json.
import { COLUMNS, wrap } from "./wrap.ts";

/** What was attacked. Each has one line at the end of the demo. */
export const ATTACKED = ["network", "USB", "releases", "login", "audit log"] as const;
export type Attacked = (typeof ATTACKED)[number];

/** What a step says of itself while it runs. */
export interface StepReport {
  /** A fact with its proof: shown with --verbose and in --json. */
  evidence(label: string, value: string): void;
  /** One sentence on what happened, shown always. */
  result(text: string): void;
  /**
   * An attack that was really made and failed: shown always; `short` is its part of the last lines.
   */
  held(attacked: Attacked, text: string, short: string): void;
}

export interface Narrator {
  /**
   * Runs a step and shows its verdict and its time.
   * @returns what `act` returns.
   * @throws what `act` throws, once the failure is shown.
   */
  readonly step: <T>(title: string, act: (report: StepReport) => Promise<T>) => Promise<T>;
  /** A step that this machine cannot show, and why. */
  readonly skipped: (title: string, why: string) => void;
  /** Free text between steps; not part of --json. */
  note(text: string): void;
  /** The last lines. @returns the exit code: 0 only if every step happened. */
  summary(): number;
}

export interface NarratorOptions {
  readonly json: boolean;
  readonly verbose: boolean;
}

interface Verdict {
  readonly mark: "ok" | "HELD" | "FAILED";
  readonly text: string;
}

const PAINT = { bold: "1", dim: "2", green: "32", red: "31", yellow: "33", cyan: "36" } as const;
type Paint = keyof typeof PAINT;
const MARK_PAINT = { ok: "green", HELD: "green", FAILED: "red" } as const satisfies Readonly<Record<Verdict["mark"], Paint>>;

/** Columns before a verdict's mark, and of the mark with the space behind it. */
const INDENT = 3;
const MARK_COLUMNS = 7;
const LABEL_COLUMNS = 14;

type Output = NodeJS.WritableStream & { readonly isTTY?: boolean };

export function createNarrator(output: Output, options: NarratorOptions): Narrator {
  return new DemoNarrator(output, options);
}

class DemoNarrator implements Narrator {
  readonly #output: Output;
  readonly #options: NarratorOptions;
  readonly #colour: boolean;
  readonly #startedMs = performance.now();
  readonly #held = new Map<Attacked, string[]>();
  #done = 0;
  #failed = 0;
  #skipped = 0;

  constructor(output: Output, options: NarratorOptions) {
    this.#output = output;
    this.#options = options;
    this.#colour = output.isTTY === true && process.env["NO_COLOR"] === undefined && !options.json;
  }

  readonly step = async <T>(title: string, act: (report: StepReport) => Promise<T>): Promise<T> => {
    const number = this.#done + this.#failed + 1;
    const startedMs = performance.now();
    const evidence: Record<string, string> = {};
    const verdicts: Verdict[] = [];
    const report: StepReport = {
      evidence: (label, value) => {
        evidence[label] = value;
      },
      result: (text) => void verdicts.push({ mark: "ok", text }),
      held: (attacked, text, short) => {
        verdicts.push({ mark: "HELD", text });
        this.#held.set(attacked, [...(this.#held.get(attacked) ?? []), short]);
      },
    };
    if (this.#options.json) this.#event({ event: "step-started", step: number, title });
    else this.#output.write(`${this.#paint("cyan", String(number).padStart(2))} ${this.#paint("bold", title)}`);
    const end = (ok: boolean): void => {
      const ms = Math.round(performance.now() - startedMs);
      if (ok) this.#done += 1;
      else this.#failed += 1;
      if (this.#options.json)
        this.#event({ event: "step-ended", step: number, title, ok, ms, verdicts: verdicts.map(({ text }) => text), evidence });
      else this.#show(title, ms, verdicts, evidence);
    };
    try {
      const outcome = await act(report);
      end(true);
      return outcome;
    } catch (error) {
      verdicts.push({ mark: "FAILED", text: error instanceof Error ? causes(error) : String(error) });
      end(false);
      throw error;
    }
  };

  readonly skipped = (title: string, why: string): void => {
    this.#skipped += 1;
    if (this.#options.json) this.#event({ event: "step-skipped", title, why });
    else
      this.#lines(` ${this.#paint("yellow", "-")} ${this.#paint("bold", title)}`, ...this.#verdictLines("skip", "yellow", why));
  };

  note(text: string): void {
    if (!this.#options.json) this.#lines(text === "" ? "" : this.#paint("dim", text));
  }

  summary(): number {
    const ms = Math.round(performance.now() - this.#startedMs);
    const ok = this.#failed === 0;
    const counts = { passed: this.#done, failed: this.#failed, skipped: this.#skipped };
    const held = Object.fromEntries(this.#held);
    if (this.#options.json) {
      this.#event({ event: "summary", ok, ...counts, ms, held });
      return ok ? 0 : 1;
    }
    const all = `${counts.passed} steps done, ${counts.failed} failed, ${counts.skipped} skipped, in ${duration(ms)}`;
    this.#lines("", this.#paint(ok ? "green" : "red", all), this.#paint("bold", "What was attacked, and what held:"));
    for (const attacked of ATTACKED) {
      const texts = this.#held.get(attacked);
      const label = attacked.padEnd(10);
      if (texts === undefined) this.#lines(` ${label} ${this.#paint("yellow", "not attacked in this run")}`);
      else this.#labelled(` ${label} `, `${texts.join("; ")}.`, this.#paint("green", "HELD"));
    }
    return ok ? 0 : 1;
  }

  /**
   * Behind the title, which is on the screen already: the time, then the verdicts and the evidence.
   */
  #show(title: string, ms: number, verdicts: readonly Verdict[], evidence: Readonly<Record<string, string>>): void {
    const time = duration(ms);
    this.#lines(" ".repeat(Math.max(1, COLUMNS - INDENT - title.length - time.length)) + this.#paint("dim", time));
    for (const { mark, text } of verdicts) this.#lines(...this.#verdictLines(mark, MARK_PAINT[mark], text));
    const failed = verdicts.some(({ mark }) => mark === "FAILED");
    if (!this.#options.verbose && !failed) return;
    for (const [label, value] of Object.entries(evidence)) {
      const rows = wrap(value, COLUMNS - INDENT - LABEL_COLUMNS);
      const dim = (index: number): string => this.#paint("dim", (index === 0 ? label : "").padEnd(LABEL_COLUMNS));
      this.#lines(...rows.map((row, index) => `${" ".repeat(INDENT)}${dim(index)}${row}`));
    }
  }

  #verdictLines(mark: string, paint: Paint, text: string): readonly string[] {
    const head = this.#paint(paint, mark.padEnd(MARK_COLUMNS));
    return wrap(text, COLUMNS - INDENT - MARK_COLUMNS).map(
      (row, index) => `${" ".repeat(INDENT)}${index === 0 ? head : " ".repeat(MARK_COLUMNS)}${row}`,
    );
  }

  #labelled(label: string, text: string, mark: string): void {
    const indent = label.length + "HELD  ".length;
    for (const [index, row] of wrap(text, COLUMNS - indent).entries())
      this.#lines(index === 0 ? `${label}${mark}  ${row}` : `${" ".repeat(indent)}${row}`);
  }

  #paint(how: Paint, text: string): string {
    return this.#colour ? `\u001b[${PAINT[how]}m${text}\u001b[0m` : text;
  }

  #lines(...lines: readonly string[]): void {
    for (const line of lines) this.#output.write(`${line}\n`);
  }

  #event(fields: Readonly<Record<string, unknown>>): void {
    this.#lines(JSON.stringify({ at: new Date().toISOString(), ...fields }));
  }
}

function duration(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** The messages of an error and of its causes, outermost first. */
function causes(error: Error): string {
  const cause: unknown = error.cause;
  return cause instanceof Error ? `${error.message}\nbecause ${causes(cause)}` : error.message;
}
