export { getFile as readRepositoryFile } from "./copy.ts";
export { type PublishedRepository, publishRepository } from "./publish.ts";
export { REPOSITORY_PREFIX, repositoryRoutes, type RepositoryOptions } from "./serve.ts";
