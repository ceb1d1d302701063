// What the demo publishes: policies by what they open, releases by what is wrong with them.
import type { Added } from "../../build/release/add.ts";
import type { ReleaseTool } from "../lab/worlds/release-tool.ts";

/** The plant's own service, which the policy keeps open. */
export const KEPT_PORT = 8080;
/** A service left over from the factory, which the policy shuts. */
export const SHUT_PORT = 9090;
export const BAD_STICK_SOCKET = "1-2";
export const FOREIGN = "policy/another.json";
export const ANOTHER_DEVICE = "SPG2-0A1B2C99";
export const IMAGE_BYTES = 4_194_304;

/** What the image's policy opens. */
export function imageNetwork(ports: readonly number[] = [KEPT_PORT, SHUT_PORT]): object {
  return {
    inbound: [{ link: "eth0", protocol: "tcp", ports, from: "any" }],
    outbound: [{ protocol: "udp", ports: [53], to: "any" }],
  };
}

export type Releases = readonly [good: Added, tampered: Added, unhealthy: Added];

/** Releases cut into chunks; they count once the release repository is signed. */
export async function makeReleases(release: ReleaseTool): Promise<Releases> {
  const image = { bytes: IMAGE_BYTES };
  return [
    await release.image({ ...image, version: "2.0.0", counter: 2 }),
    await release.image({ ...image, version: "3.0.0", counter: 3 }),
    await release.image({ ...image, version: "4.0.0", counter: 4, agent: "broken" }),
  ];
}
