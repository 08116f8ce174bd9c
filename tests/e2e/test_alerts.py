"""What becomes of a stream is told as events of its organisation, which another stream carries."""

import json

from support import event, wait_until

STREAM = "/api/v2/data_stream"
FROM = 10_001
ALERTS = [{"field": "event_type_id", "op": "ge", "value": FROM}]


def alerts_of(receiver):
    return [record for delivery in receiver.accepted() for record in delivery.records
            if record["event_type"]["id"] >= FROM]


def stored(server):
    answer = server.call("GET", "/api/v2/records",
                         params={"kind": "event", "filters": json.dumps(ALERTS)})
    assert answer.status_code == 200, answer.text
    return [item["record"] for item in answer.json()["items"]]


def kinds(receiver):
    return [alert["detail"]["kind"] for alert in alerts_of(receiver)]


def test_another_stream_carries_the_news_of_one_that_fails(sluice, receivers):
    status = {"is": 410}
    target, news = receivers(answer=lambda delivery: status["is"]), receivers()
    broken = sluice.create_stream(target.url, name="broken")
    sluice.create_stream(news.url, filters=ALERTS)
    sluice.ingest("events", [event(1)])
    wait_until(lambda: "data_stream_error" in kinds(news))
    alert = alerts_of(news)[0]
    assert alert["id"] >= 2 ** 62 and alert["alert"] is True
    assert alert["event_type"] == {"id": 10001, "description": "Data stream in Error"}
    assert alert["event_source"]["description"] == "Sluice"
    assert alert["organisation"]["id"] == 1
    assert alert["detail"]["data_stream_id"] == broken["id"]
    assert alert["detail"]["data_stream_name"] == "broken"
    assert "410" in alert["detail"]["reason"]

    status["is"] = 200
    assert sluice.call("POST", f"{STREAM}/{broken['id']}/restart").status_code == 202
    wait_until(lambda: "data_stream_recovered" in kinds(news))
    sluice.ingest("events", [event(2)])
    # It has passed the alerts about itself by then, and nothing of that counts as lost.
    wait_until(lambda: 2 in target.record_ids())
    assert target.record_ids() == [1, 2]
    shown = sluice.stream(broken["id"])["progress"]
    assert shown["delivered"] == 2


def test_a_stream_that_carries_alerts_does_not_feed_itself(sluice, receivers):
    """Two streams that carry everything, and whose destinations refuse everything."""
    targets = [receivers(answer=lambda delivery: 400) for _ in range(2)]
    streams = [sluice.create_stream(t.url, delivery={"rejected_in_a_row": 0})["id"] for t in targets]
    sluice.ingest("events", [event(i) for i in range(5)])

    def settled():
        ends = [sluice.stream(s)["progress"] for s in streams]
        return all(end["lag_records"] == 0 for end in ends) and ends
    wait_until(lambda: all(sluice.stream(s)["progress"]["dead_letters"] >= 5 for s in streams))
    wait_until(settled)
    for stream in streams:
        answer = sluice.call("GET", f"{STREAM}/{stream}/dead_letters?limit=1000").json()["items"]
        about = [item["record"]["detail"]["data_stream_id"] for item in answer if item["id"] >= 2 ** 62]
        assert stream not in about
        assert len(about) <= 2  # one an hour, and the hour may end meanwhile


def test_alerts_are_one_an_hour_also_through_a_kill(sluice, receivers):
    target, news = receivers(answer=lambda delivery: 410), receivers()
    broken = sluice.create_stream(target.url)["id"]
    sluice.create_stream(news.url, filters=ALERTS)
    sluice.ingest("events", [event(1)])
    wait_until(lambda: kinds(news))
    for _ in range(3):
        sluice.kill()
        sluice.start()
        assert sluice.call("POST", f"{STREAM}/{broken}/restart").status_code == 202
        wait_until(lambda: sluice.stream(broken)["status"]["id"] == 3)
    # Another kind, which was told later than all these could have been.
    assert sluice.call("PATCH", f"{STREAM}/{broken}", json={"status": 2}).status_code == 202
    assert sluice.call("POST", f"{STREAM}/{broken}/skip", json={"to": 0, "park": False}).status_code == 202
    wait_until(lambda: "data_stream_skipped" in kinds(news))
    told = [alert for alert in stored(sluice) if alert["event_type"]["id"] == 10001]
    assert len(told) <= 2, "once, or twice if the hour ended meanwhile"


def test_what_ages_out_is_announced_and_then_told(sluice, receivers):
    news = receivers()
    sluice.create_stream(news.url, filters=ALERTS)
    target = receivers(answer=lambda delivery: 503)
    delivery = {"max_age_s": 10, "retry": {"initial_ms": 500, "max_ms": 500}}
    sluice.create_stream(target.url, delivery=delivery)
    sluice.ingest("events", [event(i) for i in range(3)])
    wait_until(lambda: "data_stream_loss_ahead" in kinds(news), what="the warning")
    wait_until(lambda: "data_stream_aged_out" in kinds(news), what="the loss")
    aged = next(a for a in alerts_of(news) if a["detail"]["kind"] == "data_stream_aged_out")
    assert aged["detail"]["records"] == 3


def test_what_others_send_in_is_never_taken_for_an_alert_of_ours(sluice, receivers):
    """Id and type of an alert about this very stream, but not made by Sluice."""
    target = receivers()
    stream = sluice.create_stream(target.url)["id"]
    forged = 2 ** 62 + (stream << 26) + (1 << 21)
    sluice.ingest("events", [event(forged, type_id=10001), event(1)])
    wait_until(lambda: 1 in target.record_ids())
    assert target.record_ids() == [forged, 1]


def test_alerts_are_records_like_others(sluice, receivers):
    target = receivers(answer=lambda delivery: 410)
    sluice.create_stream(target.url)
    sluice.ingest("events", [event(1)])

    wait_until(lambda: stored(sluice))
    assert stored(sluice)[0]["detail"]["kind"] == "data_stream_error"
