"""Datadog's metrics and logs intakes, as its API reference states them:
https://docs.datadoghq.com/api/latest/metrics/#submit-metrics (series v2: 500 KB packed, 5 MB
unpacked), https://docs.datadoghq.com/metrics/custom_metrics/historical_metrics/ (points older than
an hour are not kept, unless the account has that),
https://docs.datadoghq.com/api/latest/logs/#send-logs (1,000 logs, 5 MB, 18 hours; the statuses),
https://docs.datadoghq.com/api/latest/authentication/#validate-api-key. Of two points of one series
and second the last one stays."""

import gzip
import json
import time

from standins.base import Answer, StandIn

SERIES_BYTES_MAX = 5_242_880
SERIES_PACKED_BYTES_MAX = 512_000
LOGS_BYTES_MAX = 5_000_000
LOGS_MAX = 1000
COUNT = 1


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_point(point):
    return (isinstance(point, dict) and set(point) == {"timestamp", "value"}
            and type(point["timestamp"]) is int and is_number(point["value"]))


def is_series(one):
    return (isinstance(one, dict) and set(one) == {"metric", "type", "points", "tags"}
            and isinstance(one["metric"], str) and one["type"] == COUNT
            and isinstance(one["points"], list) and one["points"]
            and all(is_point(point) for point in one["points"])
            and isinstance(one["tags"], list) and all(isinstance(tag, str) for tag in one["tags"]))


def is_log(log):
    return (isinstance(log, dict) and isinstance(log.get("message"), str)
            and all(isinstance(log.get(name, ""), str)
                    for name in ("ddsource", "ddtags", "hostname", "service")))


def unpacked(request):
    """None: it is not what its headers say."""
    if request.headers.get("content-type") != "application/json":
        return None
    try:
        packed = request.headers.get("content-encoding") == "gzip"
        return gzip.decompress(request.body) if packed else request.body
    except (OSError, EOFError):
        return None


def read(plain):
    try:
        return json.loads(plain)
    except ValueError:
        return None


class Datadog(StandIn):
    API_KEY = "datadog-api-key-0123456789abcdef"

    def __init__(self, historical=False):
        super().__init__()
        self.historical = historical
        self.points = {}  # (metric, tags) -> {second: value}
        self.lost = 0     # points and logs that are too old: taken with 202, and dropped
        self.logs = []
        self.packed_most = self.too_large = 0

    def series(self, request, plain):
        self.packed_most = max(self.packed_most, len(request.body))
        if len(request.body) > SERIES_PACKED_BYTES_MAX or len(plain) > SERIES_BYTES_MAX:
            self.too_large += 1
            return Answer(413, {"errors": ["Payload too large"]})
        body = read(plain)
        if (not isinstance(body, dict) or not isinstance(body.get("series"), list)
                or not body["series"] or not all(is_series(one) for one in body["series"])):
            return Answer(400, {"errors": ["Payload is not in the expected format"]})
        for one in body["series"]:
            kept = self.points.setdefault((one["metric"], tuple(sorted(one["tags"]))), {})
            for point in one["points"]:
                if point["timestamp"] < time.time() - 3605 and not self.historical:
                    self.lost += 1
                else:
                    kept[point["timestamp"]] = point["value"]
        return Answer(202, {"errors": []})

    def take_logs(self, plain):
        if len(plain) > LOGS_BYTES_MAX:
            return Answer(413, {"errors": [{"status": "413", "title": "Payload too large"}]})
        logs = read(plain)
        if not isinstance(logs, list) or len(logs) > LOGS_MAX or not all(map(is_log, logs)):
            return Answer(400, {"errors": [{"status": "400", "title": "Bad Request"}]})
        for log in logs:
            if log.get("timestamp", time.time() * 1000) < (time.time() - 18 * 3600 - 5) * 1000:
                self.lost += 1
            else:
                self.logs.append(log)
        return Answer(202, {})

    def answer(self, request):
        is_logs = request.path == "/api/v2/logs"
        key = request.headers.get("dd-api-key")
        if key != self.API_KEY:
            if is_logs:
                status = 401 if key is None else 403
                return Answer(status, {"errors": [{"status": str(status), "title": "Forbidden"}]})
            return Answer(403, {"errors": ["Forbidden"]})
        if (request.method, request.path) == ("GET", "/api/v1/validate"):
            return Answer(200, {"valid": True})
        if request.method != "POST" or request.path not in ("/api/v2/series", "/api/v2/logs"):
            return Answer(404, {"errors": ["Not found"]})
        plain = unpacked(request)
        if plain is None:
            return Answer(400, {"errors": ["Bad Request"]})
        return self.take_logs(plain) if is_logs else self.series(request, plain)
