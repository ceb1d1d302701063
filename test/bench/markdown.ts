// The bench as a document for readers: docs/performance.md.
import { cpus } from "node:os";
import { spokenLoad } from "./load.ts";
import { COLUMNS, row, type Section, wrapped } from "./table.ts";

const WIDTH_MAX = 100;

const PREFACE = `# Speed and memory

This document is generated; do not edit it. \`npm run bench -- --markdown docs/performance.md\`
measures everything again and writes it, in about an hour.

Each number is compared with a named peer that runs by turns with ours, in the same minutes on the
same machine. Numbers of another machine differ; ratios carry over. Our programs are built and
started as the device's units start them, with the same options of Node and the same variables; the
peers run with Node's defaults. A ratio is ours over the peer's, taken round by round; shown are the
median and, in brackets, the extremes. A target counts as certain when the 95 % confidence interval
of the median lies on one side of it. A row without a target is for information.
`;

/** A measure that the machine could not make, and why. */
export interface Skipped {
  readonly name: string;
  readonly why: string;
}

/** @param quick whether fewer rounds were played than the document promises. */
export function markdown(sections: readonly Section[], quick: boolean, skipped: readonly Skipped[] = []): string {
  const model = cpus()[0]?.model ?? "unknown processor";
  const machine = `Measured with Node ${process.version} on ${cpus().length} processors (${model})${quick ? ", with --quick: fewer rounds" : ""}.`;
  const left = skipped.map(({ name, why }) => `## ${name}\n\nSKIPPED: ${why}.\n`);
  const text = [PREFACE, ...wrapped(machine, "", WIDTH_MAX), "", ...sections.map(block), ...left].join("\n");
  return `${text.trimEnd()}\n`;
}

function block({ name, how, peers, load, findings }: Section): string {
  const reasons = findings.flatMap(({ what, why }) =>
    why === undefined ? [] : [...wrapped(`"${what.trim()}" missed its target: ${why}.`, "", WIDTH_MAX), ""],
  );
  return [
    `## ${name}`,
    "",
    ...wrapped(`${how[0]?.toUpperCase() ?? ""}${how.slice(1)}.`, "", WIDTH_MAX),
    "",
    spokenLoad(load),
    "",
    tableLine(COLUMNS.map((title) => title)),
    tableLine(COLUMNS.map(() => "---")),
    ...findings.map((each) => tableLine(row(each))),
    "",
    ...reasons,
    ...(peers.length === 0
      ? []
      : [
          tableLine(["peer", "what it does", "what it does not do"]),
          tableLine(["---", "---", "---"]),
          ...peers.map((peer) => tableLine([peer.name, peer.does, peer.lacks])),
          "",
        ]),
  ].join("\n");
}

function tableLine(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.trim().replaceAll("|", "\\|")).join(" | ")} |`;
}
