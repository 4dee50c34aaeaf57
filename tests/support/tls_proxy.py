#!/usr/bin/env python3
"""A proxy with TLS and a login before a node: tls_proxy.py CERTIFICATE KEY TOKEN URL. Prints its port; ends with its standard input."""
import http.server
import ssl
import sys
import threading
import urllib.error
import urllib.request

certificate, key, token, upstream = sys.argv[1:]


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("authorization") != f"Bearer {token}":
            return self.reply(403, [], b'{"message":"who are you?"}')
        kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "authorization")}
        request = urllib.request.Request(upstream + self.path, body or None, kept, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.reply(answer.status, answer.headers.items(), answer.read())
        except urllib.error.HTTPError as answer:
            self.reply(answer.code, answer.headers.items(), answer.read())

    do_GET = do_POST = forward

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
