// Host and port as texts of URLs and headers write them.

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, with an IPv6 address in brackets (RFC 3986 section 3.2.2). [TUN-63] */
export function hostAndPort({ host, port }: HostAndPort): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
