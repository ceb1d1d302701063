// Orders, as the warden obeys them. How they are written is in format/.
export { type Executor, openOrders, type Orders, type OrdersOptions, type TrialOrders } from "./orders.ts";
