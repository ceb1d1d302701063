// The `skip` of tests that need the Debian base of the image. Making the base takes minutes and a
// mirror, which is too much for a single test.
import { isBaseMade } from "../../../build/image/base.ts";
import { needs } from "./needs.ts";

/**
 * For tap's `skip` option, as {@link needs}. Where SALLYPORT_PARTS=all says that the machine should
 * have everything, the test makes the base and is not skipped.
 */
export async function needsBase(): Promise<string | false> {
  const missing = needs("image");
  if (missing !== false || process.env["SALLYPORT_PARTS"] === "all" || (await isBaseMade().catch(() => false)))
    // Without the programs of the image no base can be made.
    return missing;
  return "needs the image's Debian base: npm run test:gateway -- --prepare";
}
