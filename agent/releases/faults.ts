// The kinds of faults that decide how the work on a release goes on.
import type { Fault } from "../../hal/fault.ts";

/**
 * True for what another attempt may not meet: the network, the disk, a mirror that is behind, or a
 * warden that restarts or is busy.
 */
export function isTransient({ code }: Fault): boolean {
  return (
    code.startsWith("fetch.") ||
    code.startsWith("tls.") ||
    code.startsWith("tunnel.") ||
    code.startsWith("file.") ||
    code === "chunk.missing" ||
    code === "chunk.tampered" ||
    code === "trust.invalid" ||
    code === "protocol.closed" ||
    code === "protocol.rate-limited" ||
    code === "lockdown.busy"
  );
}

const RELEASE_FAULTS = ["chunk.missing", "chunk.tampered", "image.invalid", "update.aborted"];

/**
 * [OTA-78] True for what is wrong with the release itself: a part of it is damaged in the
 * repository or not there, and stayed so through all attempts while the repository was itself. What
 * a portal, a proxy or a server in maintenance answers instead is none of the release's doing.
 */
export function isReleaseFault({ code }: Fault): boolean {
  return RELEASE_FAULTS.includes(code) || code.startsWith("index.");
}

/** [OTA-78] True for a damaged copy: more attempts than these would only cost the line. */
export function isDamagedCopy({ code }: Fault): boolean {
  return code === "chunk.tampered";
}
