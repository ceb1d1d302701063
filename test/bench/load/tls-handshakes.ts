// Mutual TLS 1.3 handshakes with one SecureContext, as the agent keeps it. Arguments: port, key,
// certificate and authority as files.
import { readFileSync } from "node:fs";
import { connect, createSecureContext } from "node:tls";
import { serveRounds } from "./rounds.ts";

const [port = "", keyFile = "", certFile = "", authorityFile = ""] = process.argv.slice(2);
const secureContext = createSecureContext({
  key: readFileSync(keyFile),
  cert: readFileSync(certFile),
  ca: readFileSync(authorityFile),
});

/** @returns the protocol. The server's word says that it took our certificate. */
function handshake(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: "127.0.0.1", servername: "localhost", secureContext });
    socket.on("error", reject).on("data", () => {
      resolve(socket.getProtocol() ?? "");
      socket.end();
    });
  });
}

serveRounds(async (count) => {
  let tls = "";
  for (let done = 0; done < count; done += 1) tls = await handshake();
  return { tls };
});
