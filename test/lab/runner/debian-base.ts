// Tests that look at the Debian base of the image: where it was made. Making it takes minutes and a mirror, which is nothing for a single test.
import { isBaseMade } from "../../../build/image/base.ts";
import { needs } from "./needs.ts";

/** For tap's `skip` option, as {@link needs}; where SALLYPORT_PARTS=all says that the machine should have everything, the test makes the base rather than be skipped. */
export async function needsBase(): Promise<string | false> {
  const missing = needs("image");
  if (missing !== false || process.env["SALLYPORT_PARTS"] === "all" || (await isBaseMade().catch(() => false)))
    // without sources there is none
    return missing;
  return "needs the image's Debian base: npm run test:gateway -- --prepare";
}
