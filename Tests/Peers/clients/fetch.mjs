// SPDX-License-Identifier: Apache-2.0
// Three GETs and a POST by fetch. usage: node fetch.mjs undici|environment URL
// undici: the library's ProxyAgent, to $PROXY; environment: Node's own fetch, which obeys NODE_USE_ENV_PROXY.
import { createRequire } from "node:module";

const [way, url] = process.argv.slice(2);
const undici = way === "undici" ? createRequire(import.meta.url)("undici") : { fetch };
const options = undici.ProxyAgent ? { dispatcher: new undici.ProxyAgent(process.env.PROXY) } : {};

for (const path of ["/1", "/2", "/3", "/post"]) {
    const body = path === "/post" ? { method: "POST", body: "hello" } : {};
    const answer = await undici.fetch(url + path, { ...options, ...body });
    console.log(answer.status, await answer.text());
}
process.exit();
