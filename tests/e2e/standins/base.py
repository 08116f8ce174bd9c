"""What the stand-ins share: an HTTP server that answers what the service would, or what a test told
it to answer first."""

import dataclasses
import http.server
import json
import threading
import urllib.parse


@dataclasses.dataclass
class Request:
    method: str
    path: str
    query: dict
    headers: dict  # names in lower case
    body: bytes
    target: str  # path and query as they came

    def json(self):
        """None: the body is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclasses.dataclass
class Answer:
    status: int
    body: object = b""  # bytes as they are, anything else as JSON
    headers: dict = dataclasses.field(default_factory=dict)


class StandIn:
    """`answer(request) -> Answer` is the service. `troubles` are answers to give first, one a
    request that a test wants to see fail (None: hang up); `requests` is everything that came."""

    def __init__(self, tls=None):
        self.lock = threading.Lock()
        self.requests = []
        self.troubles = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self):
                length = int(self.headers.get("Content-Length", 0))
                url = urllib.parse.urlsplit(self.path)
                request = Request(self.command, url.path, dict(urllib.parse.parse_qsl(url.query)),
                                  {name.lower(): value for name, value in self.headers.items()},
                                  self.rfile.read(length), self.path)
                with outer.lock:
                    outer.requests.append(request)
                    troubled = outer.troubles and outer.is_troubled(request)
                    answer = outer.troubles.pop(0) if troubled else outer.answer(request)
                if answer is None:
                    self.close_connection = True
                    return
                body = answer.body
                if not isinstance(body, bytes):
                    body = json.dumps(body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        scheme = "http"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.port = self.server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def is_troubled(self, request):
        """Which requests `troubles` are for."""
        return request.method == "POST"

    def answer(self, request):
        raise NotImplementedError

    def close(self):
        self.server.shutdown()
        self.server.server_close()
