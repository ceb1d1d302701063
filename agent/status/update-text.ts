// The state of an update as text for people. Pure, ASCII. [CON-11]
import type { UpdateStatus } from "../../warden/update/format.ts";
import { printed, row } from "./rows.ts";

/** One line, and a second one if there is a reason, a detail or a health check to show. */
export function updateRows(update: UpdateStatus): string[] {
  const detail = detailOf(update);
  return [row("update", runs(update), phaseOf(update)), ...(detail === undefined ? [] : [row("", detail)])];
}

/** The rows of {@link updateRows}, then the subject of the order that the update waits for. */
export function renderUpdate(update: UpdateStatus): string {
  const rows = updateRows(update);
  if (update.awaitsOrder !== undefined)
    rows.push(row("order", '"update approve" needs an order over'), row("", update.awaitsOrder));
  return printed(rows);
}

function runs({ version, running }: UpdateStatus): string | undefined {
  if (running === undefined) return version && `${version} runs`;
  return `${version ?? "an unknown version"} runs from slot ${running}`;
}

function phaseOf(update: UpdateStatus): string {
  const { phase, awaitsOrder } = update;
  const release = update.release === undefined ? "a release" : `release ${update.release.counter} (${update.release.target})`;
  const slot = update.slot === undefined || update.slot === update.running ? "" : ` in slot ${update.slot}`;
  switch (phase) {
    case "idle":
      return "no new release";
    case "fetching":
      return `looking up ${release}`;
    case "verified":
      return `writing ${release}`;
    case "written":
      return awaitsOrder === undefined
        ? `${release} is written${slot}, waiting for its trial`
        : `${release}${slot} WAITS FOR AN ORDER`;
    case "trying":
      return `TRYING ${release}${slot}`;
    case "committing":
      return `${release} passed its checks, being committed`;
    case "rolling-back":
      return `ROLLING BACK ${release}`;
    case "committed":
      return `${release} committed`;
    case "rolled-back":
      return `${release} ROLLED BACK`;
    case "failed":
      return `${release} FAILED`;
  }
}

function detailOf({ phase, slot, expects, health, reason, detail }: UpdateStatus): string | undefined {
  if (reason !== undefined) return `${reason.why}: ${reason.detail}`;
  if (detail !== undefined) return detail;
  if (phase === "verified" && slot !== undefined && expects !== undefined) {
    const { part, from, chunks } = expects;
    return `slot ${slot}: ${from < chunks ? `${part}, ${from} of ${chunks} chunks` : `reading ${part} back`}`;
  }
  if (health === undefined || health.length === 0 || phase !== "trying") return undefined;
  return `health: ${health.map(({ name, verdict, detail }) => (verdict === "passed" ? `${name} passed` : `${name} ${verdict} (${detail})`)).join(", ")}`;
}
