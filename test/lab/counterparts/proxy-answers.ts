// Answers of a proxy to CONNECT that open no pipe to the hub, for the tests of enrolment and
// tunnel.

/** A description, and the octets; undefined for a proxy that hangs up. */
export const NO_PIPE: readonly (readonly [string, string | undefined])[] = [
  ["a refusal", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"],
  ["another success", "HTTP/1.1 204 No Content\r\n\r\n"],
  ["a redirection", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
  ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a status line with a control character", "HTTP/1.1 200 \x1b[2J\r\n\r\n"],
  ["a line that is no header", "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"],
  ["a folded header", "HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n"],
  ["a bare line feed", "HTTP/1.1 200 OK\r\nx: y\nz: 1\r\n\r\n"],
  ["an endless answer", `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(2000)}`],
  ["an answer that is too long", `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(1500)}\r\n`],
  ["octets before TLS", "HTTP/1.1 200 OK\r\n\r\nhello"],
  ["hanging up", undefined],
];
