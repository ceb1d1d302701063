// The lockdown policy and its plan, for programs that write, show or sign them. [LCK-1] [LCK-4]
export { contains, parsePrefix, type Prefix } from "../../../hal/format/address.ts";
export { type Difference, differenceOf, staysOpen } from "./describe.ts";
export { PLAN_BYTES_MAX, POLICY_BYTES_MAX } from "./limits.ts";
export { type NetworkRule, type Plan, planHash, planSchema } from "./plan.ts";
export { parsePolicy, type Policy, policySchema, type UsbRule } from "./policy.ts";
export * from "./state.ts";
