// SPDX-License-Identifier: Apache-2.0
// Three GETs and a POST by axios, which obeys http_proxy. usage: node axios.cjs URL
const axios = require("axios");

(async () => {
    for (const path of ["/1", "/2", "/3", "/post"]) {
        const answer = path === "/post" ? await axios.post(process.argv[2] + path, "hello") : await axios.get(process.argv[2] + path);
        console.log(answer.status, answer.data);
    }
})();
