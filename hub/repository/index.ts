// The update repository: served as static files, and taken over from the release tool.
export { type PublishedRepository, publishRepository } from "./publish.ts";
export { REPOSITORY_PREFIX, repositoryRoutes, type RepositoryOptions } from "./serve.ts";
