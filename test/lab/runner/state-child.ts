// A process for tests that kill one: node state-child.ts <what> <directory>. It prints one line a
// step, so that the test knows how far it is.
import { linuxAppendFiles, linuxFiles, lockState } from "../../../hal/linux/index.ts";

const [what, directory = ""] = process.argv.slice(2);

/** A value that is recognisable as whole: a number, and the same number at its end. */
function value(number: number): Buffer {
  return Buffer.from(`${number} ${"x".repeat(20_000)} ${number}`);
}

async function putForEver(): Promise<never> {
  const files = await linuxFiles(directory);
  for (let number = 1; ; number++) {
    await files.put("record", value(number));
    process.stdout.write(`${number}\n`);
  }
}

async function appendForEver(): Promise<never> {
  const files = await linuxAppendFiles(directory);
  for (let number = 1; ; number++) {
    await files.append("log", Buffer.from(`${number}\n`));
    process.stdout.write(`${number}\n`);
  }
}

async function hold(): Promise<void> {
  await lockState(directory);
  process.stdout.write(`${process.pid}\n`);
  setInterval(() => undefined, 60_000);
}

switch (what) {
  case "put":
    await putForEver();
    break;
  case "append":
    await appendForEver();
    break;
  default:
    await hold();
}
