// The USB port of hal/ports.ts, in a file of its own for its length.

/**
 * The USB tree as the kernel shows it, and the three things in it that can be shut: a controller's
 * default, a device and a port. Every change is read back. A change that fails with
 * `usb.not-in-force` may still happen later: a busy kernel does what was written once it can.
 */
export interface UsbTree {
  /**
   * Where the kernel is too busy to answer, the tree has the last known state. A device that cannot
   * be parsed is in it without claims, like one that was never read.
   * @throws Fault `usb.unreadable`.
   */
  read(): Promise<UsbState>;
  /**
   * A text that changes when a controller or a device comes, goes, or is enumerated anew. It is
   * cheap enough to be read often.
   * @throws Fault `usb.unreadable`.
   */
  plugged(): Promise<string>;
  /**
   * Sets what happens to devices that are plugged in later. No value here admits all of them.
   * @throws Fault `usb.not-in-force`, `usb.gone`.
   */
  setDefault(controller: string, authorized: "none" | "hardwired"): Promise<void>;
  /**
   * Authorizes a device or shuts it out. After an authorization, even one that the kernel carried
   * out only after this call rejected, the device is inspected again; it is shut out when it has
   * changed or does not answer.
   * @param device as {@link read} returned it.
   * @throws Fault `usb.changed`, `usb.not-in-force`, `usb.gone`; `usb.busy` or `usb.unreadable`
   *   when the device cannot be inspected.
   */
  setDevice(device: UsbDevice, authorized: boolean): Promise<void>;
  /**
   * Disables or enables a port. A disabled port detects nothing.
   * @throws Fault `usb.not-in-force`, also when the kernel or the hub does not support it;
   *   `usb.gone`.
   */
  setPort(port: string, disabled: boolean): Promise<void>;
}

/** [LCK-70] What the kernel says at the moment when something is plugged in or out. */
export interface UsbEvent {
  readonly what: "came" | "went";
  /** The port of the device, or the name of a controller. */
  readonly port: string;
  /** The kernel's device number, as in {@link UsbDevice}. */
  readonly number: number | undefined;
  /** `vendor:product`, which is all that the kernel says of a device's claims. */
  readonly id: string | undefined;
}

export interface UsbEvents {
  /**
   * Follows the kernel's events until `signal` aborts. Resolves at once while the kernel has no
   * USB: its driver may be loaded later.
   * @throws Fault `process.failed` when they cannot be followed, or no longer.
   */
  follow(this: void, listener: UsbListener, signal: AbortSignal): Promise<void>;
}

export interface UsbListener {
  /** From now on no event is missed. What came before must be looked for. */
  readonly onListening: () => void;
  readonly onEvent: (event: UsbEvent) => void;
}

export interface UsbState {
  readonly controllers: readonly UsbController[];
  readonly ports: readonly UsbPort[];
  readonly devices: readonly UsbDevice[];
}

export interface UsbController {
  /** `usb1` */
  readonly name: string;
  /**
   * The kernel's `authorized_default`: 0 none, 1 all, 2 hardwired ports; undefined when it is not a
   * number.
   */
  readonly authorizedDefault: number | undefined;
}

export interface UsbPort {
  /**
   * The name that a device plugged in here gets: `1-1.2` is port 2 of the hub at port 1 of bus 1.
   */
  readonly name: string;
  /**
   * Undefined when the kernel has no such switch (before 6.0) or has never reported its state, for
   * example because it is busy with the hub of this port.
   */
  readonly disabled: boolean | undefined;
  /** The other half of a USB 3 socket. */
  readonly peer: string | undefined;
}

export interface UsbDevice {
  /** The port the device is plugged into. */
  readonly port: string;
  /** The kernel's device number. It changes with a new enumeration. */
  readonly number: number;
  readonly authorized: boolean;
  /** SHA-256 of the device's descriptors, hex. Undefined when they cannot be read as a whole. */
  readonly descriptors: string | undefined;
  /**
   * What the device says about itself, which anyone can fake. Undefined when its descriptors are
   * malformed or cannot be read.
   */
  readonly claims: UsbClaims | undefined;
  /** Why there are no claims; printable. */
  readonly flaw?: string | undefined;
}

export interface UsbClaims {
  /** Four hex digits, lower case. `product` has the same form. */
  readonly vendor: string;
  readonly product: string;
  readonly serial: string | undefined;
  /**
   * Every interface of every configuration and alternate setting as `class:subclass:protocol`, two
   * hex digits each. Sorted, without duplicates.
   */
  readonly interfaces: readonly string[];
}
