// A gateway that is cabled to a hub that knows its releases, everything new: the start of the tests
// of whole gateways, of `npm run gateway` and of the bench.
import { cp } from "node:fs/promises";
import { join } from "node:path";
import type { HubProcess } from "../worlds/hub-process.ts";
import type { RunningProgram } from "../runner/process.ts";
import { type Gateway, type GatewayOptions, openGateway } from "./gateway.ts";
import { ensureGoldenImage, EST_PORT, openGoldenHub, type GoldenImage, MQTT_PORT } from "./golden-image.ts";
import { ownFolder } from "./own-folder.ts";

export interface SiteOptions extends Omit<GatewayOptions, "image" | "forwards"> {
  readonly onHubLine?: (line: string) => void;
  /** Reports the steps that take long. */
  readonly say?: (line: string) => void;
}

export interface Site {
  readonly directory: string;
  readonly golden: GoldenImage;
  /** The hub serves; its commands are those of `sallyport-hub`. */
  readonly hub: HubProcess;
  /** The gateway is off, and its disk is as the factory wrote it. */
  readonly gateway: Gateway;
  /** Stops the hub. */
  stopHub(): Promise<void>;
  /** Starts it again on the same ports. */
  startHub(): Promise<void>;
  stop(): Promise<void>;
}

/** A first boot up to the request, on a machine that runs other emulators too. */
const BOOT_MS_MAX = 420_000;
/** Each attempt starts a program beside the emulator, which needs the processors. */
const POLL_EVERY_MS = 2000;

/** @throws Fault of the step that failed; everything that was made before is removed. */
export async function openSite({ onHubLine, say, ...options }: SiteOptions = {}): Promise<Site> {
  const golden = await ensureGoldenImage(say);
  const undo = new AsyncDisposableStack();
  try {
    const { path: directory } = undo.use(await ownFolder("sallyport-site"));
    await cp(golden.hub, join(directory, "hub"), { recursive: true });
    const inner = await openGoldenHub(join(directory, "hub"), onHubLine);
    const hub: HubProcess = {
      ...inner,
      approve: (timeoutMs = BOOT_MS_MAX, everyMs = POLL_EVERY_MS) => inner.approve(timeoutMs, everyMs),
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
