"""Clients that are slow on purpose, some with a token of their own: they cost a connection each, and
no other organisation anything."""

import socket
import threading
import time

from support import event, wait_until

EACH = 100


class Slow:
    """Connections that send `opening` and then a byte now and then, until they are cut off."""

    def __init__(self, server, opening, drip, count=EACH):
        host, port = server.url.removeprefix("http://").split(":")
        self.sockets = [socket.create_connection((host, int(port))) for _ in range(count)]
        self.ended = {}
        self.stop = threading.Event()
        for connection in self.sockets:
            connection.sendall(opening)
            connection.setblocking(False)
        self.thread = threading.Thread(target=self.run, args=(drip,), daemon=True)
        self.thread.start()

    def run(self, drip):
        while not self.stop.wait(0.5):
            for connection in self.sockets:
                if connection in self.ended:
                    continue
                try:
                    if drip:
                        connection.send(drip)
                    self.ended[connection] = connection.recv(4096)
                except BlockingIOError:
                    pass
                except OSError:
                    self.ended[connection] = b""

    def close(self):
        self.stop.set()
        self.thread.join()
        for connection in self.sockets:
            connection.close()


def test_slow_headers_bodies_and_idle_connections_hold_nobody_up(sluice, receivers):
    target = receivers()
    sluice.create_stream(target.url)
    token = sluice.token("ingest", organisation=2)
    head = (f"POST /api/v2/records/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/x-ndjson\r\nContent-Length: 10000000\r\n\r\n").encode()
    api = ("POST /api/v2/data_stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
           f"{sluice.token('admin', organisation=3)}\r\nContent-Type: application/json\r\n"
           "Content-Length: 90000\r\n\r\n")
    attacks = {
        "idle": Slow(sluice, b"", b""),
        "headers": Slow(sluice, b"GET /healthz HTTP/1.1\r\nX-Slow: ", b"a"),
        "bodies": Slow(sluice, head, b"\n"),
        "api bodies": Slow(sluice, api.encode(), b" "),
        "nothing but a method": Slow(sluice, b"G", b""),
    }
    try:
        sent = 0
        cut_off = ("headers", "api bodies", "nothing but a method")
        end = time.monotonic() + 120
        while not (all(len(attacks[name].ended) == EACH for name in cut_off)
                   and attacks["bodies"].ended):
            assert time.monotonic() < end, {name: len(a.ended) for name, a in attacks.items()}
            assert sluice.ingest("events", [event(sent)]).status_code == 200
            own = sluice.ingest("events", b"\n" * 2_000_000, organisation=2)
            assert own.status_code == 200, "held up by its own organisation's slow bodies"
            sent += 1
            assert sluice.call("GET", "/api/v2/data_stream").status_code == 200
            time.sleep(0.1)
        for name in ("bodies", "api bodies", "headers"):
            answers = list(attacks[name].ended.values())
            assert all(answer.startswith(b"HTTP/1.1 408 ") or answer == b"" for answer in answers)
            assert any(answers), name
        wait_until(lambda: target.record_ids() == list(range(sent)))
    finally:
        for attack in attacks.values():
            attack.close()
