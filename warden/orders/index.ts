// The orders that the warden obeys. Their form is in format/.
export { type Executor, createOrders, type Orders, type OrdersOptions, type TrialOrders } from "./orders.ts";
