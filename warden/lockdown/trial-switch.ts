// The dead man's switch of a trial: what it falls back to, and that it knows of each USB device
// before the policy on trial lets it in. [LCK-15] [LCK-21]
import type { Clock, DeadManSwitch, UsbDevice, UsbTree, WayBack } from "../../hal/ports.ts";
import type { Plan } from "./format/index.ts";
import { allowedIn, openedBeyond } from "./plan/index.ts";

export interface TrialSwitch {
  /**
   * The USB tree through which a plan is put in force. While the switch is armed, what the plan
   * before would not open is listed in the switch first; without that it is not opened.
   */
  readonly usb: UsbTree;
  /**
   * Arms it before the first change.
   * @param before the plan in force, which it falls back to.
   * @throws Fault of {@link DeadManSwitch.arm} or {@link UsbTree.read}.
   */
  begin(before: Plan, plan: Plan, afterMs: number): Promise<void>;
  /** Has it fire `afterMs` from now on. Without {@link begin} it does nothing. */
  extend(afterMs: number): Promise<void>;
  /** @returns and throws as {@link DeadManSwitch.disarm}. */
  end(): Promise<boolean>;
}

interface TrialSwitchPorts {
  readonly clock: Clock;
  readonly deadManSwitch: DeadManSwitch | undefined;
  readonly usb: UsbTree;
}

export function createTrialSwitch(ports: TrialSwitchPorts): TrialSwitch {
  return new PolicyTrialSwitch(ports);
}

interface Armed {
  readonly before: Plan;
  readonly way: WayBack;
  readonly firesAtMs: number;
}

class PolicyTrialSwitch implements TrialSwitch {
  readonly usb: UsbTree;
  readonly #clock: Clock;
  readonly #deadManSwitch: DeadManSwitch | undefined;
  #armed: Armed | undefined;

  constructor({ clock, deadManSwitch, usb }: TrialSwitchPorts) {
    this.#clock = clock;
    this.#deadManSwitch = deadManSwitch;
    this.usb = {
      read: () => usb.read(),
      plugged: () => usb.plugged(),
      setDefault: (controller, authorized) => usb.setDefault(controller, authorized),
      setDevice: async (device, authorized) => {
        if (authorized) await this.#listDevice(device, usb);
        await usb.setDevice(device, authorized);
      },
      setPort: async (port, disabled) => {
        if (!disabled) await this.#listPort(port);
        await usb.setPort(port, disabled);
      },
    };
  }

  async begin(before: Plan, plan: Plan, afterMs: number): Promise<void> {
    if (this.#deadManSwitch === undefined) return;
    const { devices, ports } = openedBeyond(before.usb, plan.usb, await this.usb.read());
    const way = { table: before.firewall, devices: devices.map(({ port, number }) => ({ port, number })), ports };
    await this.#arm({ before, way, firesAtMs: this.#clock.monotonicMs() + afterMs });
  }

  async extend(afterMs: number): Promise<void> {
    if (this.#armed !== undefined) await this.#arm({ ...this.#armed, firesAtMs: this.#clock.monotonicMs() + afterMs });
  }

  async end(): Promise<boolean> {
    this.#armed = undefined;
    return (await this.#deadManSwitch?.disarm()) === true;
  }

  async #arm(armed: Armed): Promise<void> {
    await this.#deadManSwitch?.arm(armed.way, Math.max(armed.firesAtMs - this.#clock.monotonicMs(), 1));
    this.#armed = armed;
  }

  /**
   * Judged as the plan before would have judged it a moment ago: with the device let in, a copy of
   * a serial number would speak against the device that had it first. [LCK-33]
   */
  async #listDevice({ port, number }: UsbDevice, usb: UsbTree): Promise<void> {
    if (this.#armed === undefined) return;
    const { before, way } = this.#armed;
    if (way.devices.some((one) => one.port === port && one.number === number)) return;
    const state = await usb.read();
    if (allowedIn(before.usb, state).has(port)) return;
    // what is unplugged is forgotten, so that the list has at most what the tree has
    const present = new Set(state.devices.map((one) => `${one.port}=${one.number}`));
    const devices = [...way.devices.filter((one) => present.has(`${one.port}=${one.number}`)), { port, number }];
    await this.#arm({ ...this.#armed, way: { ...way, devices } });
  }

  async #listPort(port: string): Promise<void> {
    if (this.#armed === undefined) return;
    const { before, way } = this.#armed;
    if (!before.usb.disable.includes(port) || way.ports.includes(port)) return;
    await this.#arm({ ...this.#armed, way: { ...way, ports: [...way.ports, port] } });
  }
}
