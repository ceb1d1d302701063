// The findings as a table for people: one row a number, below a description of each measure.
import type { Finding, Target, Unit } from "./finding.ts";
import type { Peer } from "./bench.ts";
import { type Load, spokenLoad } from "./load.ts";
import type { Spread } from "./stats.ts";

export interface Section {
  readonly name: string;
  /** What was measured, against which peer, and how. */
  readonly how: string;
  readonly peers: readonly Peer[];
  /** The machine's load while it was measured. */
  readonly load: Load;
  readonly findings: readonly Finding[];
}

export const COLUMNS = ["", "ours", "peer", "ratio", "target", ""] as const;

export function table(sections: readonly Section[]): string {
  const rows = sections.map(({ findings }) => findings.map(row));
  const widths = COLUMNS.map((title, column) =>
    Math.max(title.length, ...rows.flat().map((cells) => (cells[column] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    `  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd();
  const blocks = sections.map(({ name, how, load, findings }, index) => {
    const reasons = findings.flatMap(({ what, why }) =>
      why === undefined ? [] : wrapped(`"${what.trim()}" was missed: ${why}`, "  "),
    );
    return [...wrapped(`${name}: ${how}`, ""), `  ${spokenLoad(load)}`, ...(rows[index] ?? []).map(line), ...reasons].join("\n");
  });
  return `${["median (min .. max); ratio: ours over the peer's, median of the rounds", line(COLUMNS)].join("\n")}\n${blocks.join("\n\n")}\n`;
}

const WIDTH_MAX = 120;

/** @returns `text` in lines of at most `width` columns, each behind `indent`. */
export function wrapped(text: string, indent: string, width = WIDTH_MAX): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(`${indent}${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** The cells of a row: what, ours, peer, ratio, target, verdict. */
export function row(each: Finding): readonly string[] {
  const { what, unit, ours, peer, ratio, target } = each;
  return [
    what,
    spelled(ours, unit),
    peer === undefined ? "-" : `${spelled(peer, unit)} ${peer.name}`,
    ratio === undefined ? "-" : spread(ratio, (value) => value.toFixed(2)),
    target === undefined ? "-" : goal(target, unit),
    verdict(each),
  ];
}

function verdict({ met, certain, interval, target, ratio, ours, unit }: Finding): string {
  if (target === undefined || met === undefined) return "for information";
  const spelledOut = (value: number): string => (target.of === "ratio" ? value.toFixed(2) : amount(value, unit));
  const off = (target.of === "ratio" ? (ratio?.median ?? 0) : ours.median) - target.bound;
  const result = met ? "met" : `MISSED by ${spelledOut(Math.abs(off))}`;
  if (certain !== false) return result;
  const range = interval === undefined ? "the rounds" : `95 % of ${spelledOut(interval.low)} .. ${spelledOut(interval.high)}`;
  return `${result}, NOT CERTAIN: ${range} cross it`;
}

function goal({ of, is, bound }: Target, unit: Unit): string {
  const sign = { "at most": "<=", "at least": ">=", below: "<" }[is];
  return of === "ratio" ? `${sign} ${bound}x` : `${sign} ${amount(bound, unit)}`;
}

function spelled(values: Spread, unit: Unit): string {
  return spread(values, (value) => amount(value, unit));
}

function spread({ median, min, max, samples }: Spread, show: (value: number) => string): string {
  return samples === 1 ? show(median) : `${show(median)} (${show(min)} .. ${show(max)})`;
}

function amount(value: number, unit: Unit): string {
  switch (unit) {
    case "bytes":
      return value >= 1_048_576 ? `${(value / 1_048_576).toFixed(1)} MiB` : `${(value / 1024).toFixed(0)} KiB`;
    case "ms":
      return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
    case "s":
      return `${value.toFixed(1)} s`;
    case "of 10":
      return `${value.toFixed(1)} of 10`;
    case "us":
      return `${value.toFixed(0)} us`;
    case "MiB/s":
      return `${value.toFixed(0)} MiB/s`;
    case "/s":
      return `${value.toFixed(value < 100 ? 1 : 0)}/s`;
    case "bytes/message":
      return `${value.toFixed(2)} B/msg`;
  }
}
