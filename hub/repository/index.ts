export { repositoryRoutes, type RepositoryOptions } from "./serve.ts";
