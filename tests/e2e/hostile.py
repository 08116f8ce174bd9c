"""Destinations that a server must not let its other streams suffer from. Standard library only: the
isolation bench uses them too."""

import socket
import struct
import threading


class Listener:
    """Accepts TCP connections on 127.0.0.1 and serves each on a thread of its own."""

    def __init__(self):
        self.closing = threading.Event()
        self.connections = []
        self.listener = socket.socket()
        self.prepare(self.listener)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/in"
        threading.Thread(target=self.accept, daemon=True).start()

    def prepare(self, listener):
        pass

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve_one, args=(connection,), daemon=True).start()

    def serve_one(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass

    def requests(self):
        """Requests whose first bytes have come."""
        raise NotImplementedError

    def close(self):
        self.closing.set()
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()


class BlackHole(Listener):
    """Takes requests and never says a word."""

    def __init__(self):
        self.begun = 0  # requests, one a connection
        self.ended = 0  # by the other side
        super().__init__()

    def serve(self, connection):
        began = False
        try:
            while connection.recv(1 << 16):
                self.begun += not began
                began = True
        finally:
            self.ended += began


class SlowReader(BlackHole):
    """Takes a byte a second, through the smallest buffers there are."""

    def prepare(self, listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    def serve(self, connection):
        began = False
        try:
            while connection.recv(1):
                self.begun += not began
                began = True
                if self.closing.wait(1):
                    return
        finally:
            self.ended += began


class Flood(Listener):
    """Answers every request 200 with a body of 1 GB, as fast as it is taken."""

    def __init__(self):
        self.answers = 0
        self.longest = 0  # bytes of an answer that were taken
        super().__init__()

    def serve(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        while True:
            request = b""
            while b"\r\n\r\n" not in request:
                piece = connection.recv(1 << 16)
                if not piece:
                    return
                request += piece
            head, _, body = request.partition(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                          if line.lower().startswith(b"content-length:"))
            while len(body) < length:
                body += connection.recv(1 << 16)
            self.answers += 1
            sent = 0
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                while sent < 1_000_000_000:
                    sent += connection.send(b"x" * 65536)
            finally:
                self.longest = max(self.longest, sent)


class TarpitDns:
    """A DNS server on 127.0.0.1: names that begin with "slow" are answered after `seconds`, or when
    let go; others at once. Every name has the address 127.0.0.1."""

    def __init__(self, seconds=30):
        self.seconds = seconds
        self.let_go = threading.Event()
        self.waiting = set()  # names
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            threading.Thread(target=self.answer, args=(query, client), daemon=True).start()

    def answer(self, query, client):
        name, end = [], 12
        while query[end]:
            name.append(query[end + 1:end + 1 + query[end]].decode())
            end += 1 + query[end]
        question = query[12:end + 5]
        kind, = struct.unpack(">H", question[-4:-2])
        if name[0].startswith("slow"):
            self.waiting.add(".".join(name))
            self.let_go.wait(self.seconds)
        found = kind == 1  # A; there are no others
        reply = query[:2] + struct.pack(">HHHHH", 0x8180, 1, int(found), 0, 0) + question
        if found:
            reply += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1])
        try:
            self.socket.sendto(reply, client)
        except OSError:
            pass

    def close(self):
        self.let_go.set()
        self.socket.close()
