// The wire form of a Fault: the answer to a refused request.
import * as v from "valibot";
import { FAULT_CODES } from "../fault.ts";

export const faultSchema = v.strictObject({ code: v.picklist(FAULT_CODES), message: v.pipe(v.string(), v.maxLength(2048)) });
export type FaultReport = v.InferOutput<typeof faultSchema>;
