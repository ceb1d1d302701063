// A real warden with the kernel's packet filter, in a network of its own with a probe on the other
// side of the cable, and a repository from which it tries policies.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../../hal/fault.ts";
import { handoverName } from "../../../ota/fetch/index.ts";
import type { WardenClient } from "../../../warden/client/index.ts";
import { openProbeNetwork, type Outcome, type ProbeNetwork } from "../counterparts/network-probe.ts";
import { labCustom, labRepository } from "../counterparts/repository.ts";
import type { RunningProgram } from "../runner/process.ts";
import { startOf } from "../runner/units.ts";
import { policyBytes } from "./lockdown.ts";
import { type LabWarden, type LabWardenContext, labWarden } from "./warden.ts";

/** Opened by the policy on trial and by no other. */
const TRIED_PORT = 9090;
/** The shortest that a policy may give, in seconds. [LCK-10] */
export const CONFIRM_WITHIN_S = 30;

export interface FilteredWarden {
  readonly lab: LabWarden;
  readonly network: ProbeNetwork;
  readonly program: RunningProgram;
  /**
   * Has the warden try a policy that opens a port, and that nobody confirms. Resolves when it is in
   * force.
   */
  tryPolicy(): Promise<void>;
  /** The tried port from the other side of the cable: `open` while the policy is in force. */
  probe(): Promise<Outcome>;
}

const HANDOVER = "handover";

export interface FilteredWardenOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** The rules for USB of the image's policy, and of the one that is tried. */
  readonly usb?: { readonly base: object; readonly tried: object };
  /** Prepares the board's files, before the warden is started. */
  readonly prepare?: (root: string) => Promise<void>;
}

export async function filteredWarden(t: LabWardenContext, options: FilteredWardenOptions = {}): Promise<FilteredWarden> {
  const { env = {}, usb = { base: {}, tried: {} }, prepare } = options;
  const network = await openProbeNetwork("netns");
  t.teardown(() => network.stop());
  const lab = await labWarden(t, {
    config: (etc) => ({
      lockdown: { firewall: "nft" },
      trustRoot: join(etc, "root.json"),
      basePolicy: join(etc, "policy.json"),
      handover: join(etc, HANDOVER),
    }),
  });
  const { etc } = lab.board;
  const repository = labRepository();
  const links = [{ name: "eth0", dhcp4: true, ipv6: true }];
  const outbound = [{ protocol: "udp", ports: [53], to: "any" }];
  await writeFile(join(etc, "root.json"), repository.imageRoot, { mode: 0o644 });
  await writeFile(join(etc, "policy.json"), policyBytes({ links, network: { outbound }, usb: usb.base }), { mode: 0o644 });
  await mkdir(join(etc, HANDOVER));
  const start = startOf("sallyport-warden.service");
  const variables = Object.entries({ ...start.env, ...env }).map(([key, value]) => `${key}=${value}`);
  await prepare?.(lab.board.root);
  const program = lab.launch([...network.nft.slice(0, -1), "/usr/bin/env", ...variables], start.options);
  await program.line(/listening on/u);
  await network.device.listen(TRIED_PORT);
  const probe = (): Promise<Outcome> => network.outside.tcp(network.device.ipv4[0], TRIED_PORT);
  const tries = { counter: 0 };
  return {
    lab,
    network,
    program,
    probe,
    tryPolicy: async () => {
      tries.counter += 1;
      const inbound = [{ link: "eth0", protocol: "tcp", ports: [TRIED_PORT], from: "any" }];
      const document = policyBytes({ links, network: { inbound, outbound }, usb: usb.tried, confirmWithinS: CONFIRM_WITHIN_S });
      const path = `policy/tried-${tries.counter}.json`;
      repository.addTarget(
        "policy",
        path,
        Buffer.from(document).toString(),
        labCustom({ line: "policy", counter: tries.counter + 1 }),
      );
      repository.publish("policy");
      const client = lab.client();
      await refresh(client, join(etc, HANDOVER), (wanted) => {
        const [folder, ...name] = wanted.split("/");
        return (folder === "metadata" ? repository.files : repository.payloads).get(name.join("/"));
      });
      await client.call("lockdown.propose", {});
      client.close();
    },
  };
}

/** As an honest agent does: brings what is wanted until nothing is. */
async function refresh(client: WardenClient, handover: string, served: (path: string) => Uint8Array | undefined): Promise<void> {
  const absent: string[] = [];
  for (let n = 0; n < 60; n += 1) {
    const answer = await client.call("trust.refresh", { absent });
    if (answer.state === "current") return;
    const bytes = served(answer.path);
    if (bytes === undefined) absent.push(answer.path);
    else await writeFile(join(handover, handoverName(answer.path)), bytes, { mode: 0o644 });
  }
  assert(false, "a cycle ends");
}
