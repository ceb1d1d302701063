// The order that `sallyport-hub order ID --answer` sends, as it was signed elsewhere. [OPS-27]
import { asFault, Fault } from "../../hal/fault.ts";
import { collectBytes } from "../../hal/format/collect.ts";
import { readContent } from "../../hal/linux/files/index.ts";
import { ORDER_BYTES_MAX } from "../../warden/orders/format/index.ts";

/**
 * @param file `-` for `input`, which is read up to the bound of an order and no further. [STA-32]
 * @throws Fault `usage.invalid`.
 */
export async function readOrder(file: string, input: AsyncIterable<unknown>): Promise<string> {
  const action = `read --answer "${file}"`;
  const tooLarge = () => new Fault("usage.invalid", `${action}: an order has at most ${ORDER_BYTES_MAX} bytes`);
  try {
    const bytes = file === "-" ? await collectBytes(input, ORDER_BYTES_MAX, tooLarge) : await readContent(file, ORDER_BYTES_MAX);
    if (bytes !== undefined) return Buffer.from(bytes).toString("utf8").trim();
  } catch (error) {
    if (error instanceof Fault && error.code === "file.too-large") throw tooLarge();
    throw new Fault("usage.invalid", asFault(error, "file.read-failed", action).message, { cause: error });
  }
  throw new Fault("usage.invalid", `${action}: there is no such file`);
}
