// Hostile DER, and bodies of EST.

/** DER that nests or repeats as far as `bytes` allow. */
export function hostileDer(bytes: number): ReadonlyMap<string, () => Uint8Array> {
  const wrapped = (content: Uint8Array): Uint8Array =>
    Buffer.concat([
      Buffer.from([0x30, 0x83, (content.byteLength >> 16) & 255, (content.byteLength >> 8) & 255, content.byteLength & 255]),
      content,
    ]);
  const fill = (pattern: readonly number[], room: number): Uint8Array => {
    const whole = Math.floor(room / pattern.length) * pattern.length;
    return Buffer.alloc(whole, Buffer.from(pattern));
  };
  return new Map([
    ["nothing but NULLs", () => wrapped(fill([0x05, 0x00], bytes - 5))],
    ["nothing but empty sequences", () => wrapped(fill([0x30, 0x00], bytes - 5))],
    ["sequences within sequences", () => fill([0x30, 0x80], bytes)],
    [
      "one long string",
      () =>
        wrapped(
          Buffer.concat([
            Buffer.from([0x04, 0x83, 0, ((bytes - 16) >> 8) & 255, (bytes - 16) & 255]),
            Buffer.alloc((bytes - 16) & 0xffff),
          ]),
        ),
    ],
    ["zeros", () => Buffer.alloc(bytes)],
    ["ones", () => Buffer.alloc(bytes, 255)],
  ]);
}

export function mapped(
  inputs: ReadonlyMap<string, () => Uint8Array>,
  change: (bytes: Uint8Array) => Uint8Array,
): ReadonlyMap<string, () => Uint8Array> {
  return new Map([...inputs].map(([name, make]) => [name, () => change(make())] as const));
}

export const base64 = (bytes: Uint8Array): Uint8Array => Buffer.from(Buffer.from(bytes).toString("base64"));
