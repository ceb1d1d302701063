// A name server whose answers by UDP are cut to 512 bytes, as RFC 1035 section 4.2.1 has it, with
// the truncation bit; by TCP they are whole. Its arguments: the address, and names with their IPv4
// addresses as JSON.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import * as v from "valibot";

const [, , address = "", names = "{}"] = process.argv;
const addresses = v.parse(v.record(v.string(), v.array(v.string())), JSON.parse(names));
const UDP_BYTES_MAX = 512;
const TYPE_A = 1;

function answerTo(query: Buffer, bytesMax: number): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
  const question = query.subarray(12, at + 5);
  const found = query.readUInt16BE(at + 1) === TYPE_A ? (addresses[labels.join(".")] ?? []) : [];
  const records = found.map((one) =>
    Buffer.concat([Buffer.from([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4]), Buffer.from(one.split(".").map(Number))]),
  );
  const fits = records.slice(0, Math.floor((bytesMax - 12 - question.length) / 16));
  const header = Buffer.from([0, 0, fits.length < records.length ? 0x86 : 0x84, 0x80, 0, 1, 0, fits.length, 0, 0, 0, 0]);
  query.copy(header, 0, 0, 2);
  return Buffer.concat([header, question, ...fits]);
}

const udp = createSocket("udp4", (query, { port, address: from }) => udp.send(answerTo(query, UDP_BYTES_MAX), port, from));
const tcp = createServer((socket) => {
  let read = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    read = Buffer.concat([read, chunk]);
    if (read.length < 2 || read.length < 2 + read.readUInt16BE(0)) return;
    const answer = answerTo(read.subarray(2), 65_535);
    read = Buffer.alloc(0);
    socket.write(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255]), answer]));
  });
});
udp.bind(53, address, () => tcp.listen(53, address, () => process.stdout.write("ready\n")));
