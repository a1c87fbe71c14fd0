// SPDX-License-Identifier: Apache-2.0
// A text, many octets and the closing handshake over a WebSocket. usage: node talk.mjs undici|environment URL
import { createRequire } from "node:module";

const [way, url] = process.argv.slice(2);
let Socket = WebSocket;
if (way === "undici") {
    const undici = createRequire(import.meta.url)("undici");
    undici.setGlobalDispatcher(new undici.ProxyAgent(process.env.PROXY));
    Socket = undici.WebSocket;
}
const socket = new Socket(url);
socket.binaryType = "arraybuffer";
socket.onopen = () => socket.send("hello");
socket.onmessage = ({ data }) => {
    if (typeof data === "string") {
        console.log("text", data);
        socket.send(new Uint8Array(100000).fill(120));
    } else {
        console.log("octets", data.byteLength);
        socket.close(1000, "done");
    }
};
socket.onerror = (event) => console.log("error", event.message ?? event.error?.cause ?? event.error ?? "");
socket.onclose = ({ code, wasClean }) => {
    console.log("closed", code, wasClean);
    process.exit();
};
