#!/usr/bin/env python3
"""The bench programs move records, all of them and unchanged. Usage: smoke_test.py BUILD_DIR"""

import http.client
import http.server
import json
import pathlib
import sys
import tempfile
import threading
import unittest
import urllib.parse

sys.dont_write_bytecode = True
import harness

BUILD_DIR = pathlib.Path(sys.argv.pop())
RECORDS = 10_000


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what it is sent and answers as ingest would."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Receiver.Handler)
        self.records = []
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def wait_for(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.records) >= count, timeout=60):
                raise AssertionError(f"{len(self.records)} of {count} records after a minute")

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            lines = self.headers["Content-Type"] == "application/x-ndjson"
            records = [json.loads(line) for line in body.splitlines()] if lines else json.loads(body)
            with self.server.changed:
                self.server.records += records
                self.server.changed.notify_all()
            answer = b'{"accepted": %d}' % len(records)
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass


class Smoke(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.bench = harness.Bench(BUILD_DIR)

    def receiver(self):
        receiver = Receiver()
        self.addCleanup(receiver.close)
        return receiver

    def floor(self, sink_url, streams=1):
        cell = harness.Cell(streams=streams)
        floor = harness.Floor(BUILD_DIR, self.directory, cell, sink_url, None, threads=2)
        self.addCleanup(floor.process.stop)
        return floor

    def assert_as_promised(self, records, organisations):
        self.assertEqual(len(records), RECORDS)
        first = min(record["id"] for record in records)
        self.assertEqual({record["id"] for record in records}, set(range(first, first + RECORDS)))
        for record in records:
            self.assertEqual(record["organisation"]["id"],
                             harness.FIRST_ORGANISATION + (record["id"] - first) % organisations)

    def test_load_sends_each_id_once_and_organisations_in_turn(self):
        for form in ("ndjson", "array"):
            with self.subTest(form):
                receiver = self.receiver()
                load = self.bench.load(receiver.url, None, RECORDS, 100, 7, 4, form)
                self.assertEqual(load["records"], RECORDS)
                self.assert_as_promised(receiver.records, organisations=7)
                self.assertAlmostEqual(load["body_bytes"] / RECORDS, 766, delta=30)

    def test_floor_delivers_every_record_to_every_stream(self):
        for form in ("ndjson", "array"):
            with self.subTest(form):
                receiver = self.receiver()
                floor = self.floor(receiver.url, streams=1)
                self.bench.load(floor.process.url, None, RECORDS, 100, 1, 4, form)
                receiver.wait_for(RECORDS)
                self.assert_as_promised(receiver.records, organisations=1)

    def test_floor_refuses_what_is_not_valid(self):
        floor = self.floor("http://127.0.0.1:9/")
        good = b'{"id":1,"start_timestamp":"t","traffic_type":{"id":5},"organisation":{"id":1}}'
        for body, status in ((good, 200), (good + b"\n" + good, 200), (b"[" + good + b"]", 200),
                             (good[:-1], 422), (good + b"\n{}", 422), (b"[" + good, 422),
                             (b"[" + good + b",1]", 422), (b"[" + good + b"]]", 422)):
            client = http.client.HTTPConnection(urllib.parse.urlsplit(floor.process.url).netloc)
            client.request("POST", "/api/v2/records/usage", body)
            self.assertEqual(client.getresponse().status, status, body)
            client.close()

    def test_sink_counts_what_ten_streams_bring_after_it_was_down(self):
        sink = self.bench.start_sink(self.directory)
        floor = self.floor(sink.url, streams=10)
        sink.stop()
        records = 100_000  # more than the floor keeps in memory
        self.bench.load(floor.process.url, None, records, 1000)
        sink = self.bench.start_sink(self.directory, urllib.parse.urlsplit(sink.url).netloc)
        self.addCleanup(sink.stop)
        stats = harness.wait_until_delivered(sink, 10 * records)
        self.assertEqual(stats["records"], 10 * records)
        self.assertEqual(stats["uncounted_requests"], 0)


if __name__ == "__main__":
    unittest.main()
