// Reads the network from a few files and from iproute2. It sends no packet. [LCK-31]
import type { Network } from "../../ports.ts";
import { LINKS_MAX } from "./limits.ts";
import { readLinks } from "./links.ts";
import { readNameServers } from "./resolver.ts";
import { readRoutes } from "./routes.ts";

export interface NetworkOptions {
  /** `/`, or a folder that looks like the kernel's view. */
  readonly root: string;
  /** iproute2. By default that of this machine, and none for a folder. */
  readonly ip?: string;
}

export function linuxNetwork({ root, ip = root === "/" ? "ip" : undefined }: NetworkOptions): Network {
  return {
    read: async () => {
      const routes = await readRoutes(root);
      const routed = new Set(routes.map(({ link }) => link));
      const links = await readLinks(root, ip);
      const listed = new Set(
        [...links].sort((a, b) => Number(routed.has(b.name)) - Number(routed.has(a.name))).slice(0, LINKS_MAX),
      );
      return { links: links.filter((link) => listed.has(link)), routes, nameServers: await readNameServers(root) };
    },
  };
}
