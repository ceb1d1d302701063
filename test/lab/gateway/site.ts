// A site: a gateway on its cable to a hub that knows its releases, everything new. What tests of whole gateways, `npm run gateway` and the bench start from.
import { cp } from "node:fs/promises";
import { join } from "node:path";
import type { HubProcess } from "../worlds/hub-process.ts";
import type { RunningProgram } from "../runner/process.ts";
import { type Gateway, type GatewayOptions, openGateway } from "./gateway.ts";
import { ensureGoldenImage, EST_PORT, openGoldenHub, type GoldenImage, MQTT_PORT } from "./golden-image.ts";
import { ownFolder } from "./own-folder.ts";

export interface SiteOptions extends Omit<GatewayOptions, "image" | "forwards"> {
  readonly onHubLine?: (line: string) => void;
  /** What takes long, for who waits. */
  readonly say?: (line: string) => void;
}

export interface Site {
  readonly directory: string;
  readonly golden: GoldenImage;
  /** Serves; its commands are `sallyport-hub`'s. */
  readonly hub: HubProcess;
  /** Off, its disk as the factory wrote it. */
  readonly gateway: Gateway;
  /** The hub goes away, as servers do. */
  stopHub(): Promise<void>;
  /** And comes back where it was. */
  startHub(): Promise<void>;
  stop(): Promise<void>;
}

/** A first boot, up to the request, on a machine that has others to emulate too. */
const BOOT_MS_MAX = 420_000;
/** Each look starts a program beside the emulator, which needs the processors. */
const LOOK_EVERY_MS = 2000;

/** @throws Fault of whatever could not be made. What was made is gone then. */
export async function openSite({ onHubLine, say, ...options }: SiteOptions = {}): Promise<Site> {
  const golden = await ensureGoldenImage(say);
  const undo = new AsyncDisposableStack();
  try {
    const { path: directory } = undo.use(await ownFolder("sallyport-site"));
    await cp(golden.hub, join(directory, "hub"), { recursive: true });
    const inner = await openGoldenHub(join(directory, "hub"), onHubLine);
    const hub: HubProcess = {
      ...inner,
      approve: (timeoutMs = BOOT_MS_MAX, everyMs = LOOK_EVERY_MS) => inner.approve(timeoutMs, everyMs),
    };
    let running: RunningProgram | undefined;
    const stopHub = async (): Promise<void> => {
      await running?.stop();
      running = undefined;
    };
    const startHub = async (): Promise<void> => {
      running ??= await hub.start();
    };
    undo.defer(stopHub);
    await startHub();
    const forwards = [
      { port: EST_PORT, to: hub.ports.est },
      { port: MQTT_PORT, to: hub.ports.mqtt },
    ];
    const gateway = await openGateway({ ...options, image: golden.disk, forwards });
    undo.defer(() => gateway.stop());
    return { directory, golden, hub, gateway, stopHub, startHub, stop: () => undo.disposeAsync() };
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}
