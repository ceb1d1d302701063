// Orders as they are written, signed, asked for and answered. [OPS-7] [CON-4]
export { answerText, type Challenge, challengeText, orderOfAnswer, parseChallenge } from "./challenge.ts";
export {
  keyIdSchema,
  openOrder,
  type Order,
  ORDER_BYTES_MAX,
  ORDER_SIGNATURES_MAX,
  type OrderEnvelope,
  orderKey,
  orderKeyId,
  orderKeySchema,
  orderSchema,
  type OrderVerb,
  orderVerbSchema,
  planHashSchema,
  signOrder,
} from "./order.ts";
