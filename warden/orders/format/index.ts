// The form of orders: written, signed, requested and answered. [OPS-7] [CON-4]
export { keyIdSchema, orderKey, orderKeyId } from "../../order-key/format.ts";
export { answerText, type Challenge, challengeText, orderOfAnswer, parseChallenge } from "./challenge.ts";
export {
  openOrder,
  type Order,
  ORDER_BYTES_MAX,
  ORDER_SIGNATURES_MAX,
  type OrderEnvelope,
  orderSchema,
  type OrderVerb,
  orderVerbSchema,
  planHashSchema,
  readOrderUnverified,
  signOrder,
} from "./order.ts";
