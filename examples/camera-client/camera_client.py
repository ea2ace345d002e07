#!/usr/bin/env python3
"""A camera-side client for potok, standard library only (Python 3.8 or newer).

    your-camera-software | python3 camera_client.py http://potok:8080 /var/spool/camera.db

Reads detections from stdin, one JSON object a line. Each gets its event_id once and is on the disk (SQLite)
before it is sent; it leaves the disk only after potok has acknowledged it. Without a clear answer it is sent
again with the same id, and potok counts it once.
"""
import json
import random
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

URL = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080") + "/v1/events"
SPOOL = sys.argv[2] if len(sys.argv) > 2 else "camera-spool.db"
BATCH = 500


def open_spool():
    spool = sqlite3.connect(SPOOL, timeout=30)
    spool.execute("PRAGMA journal_mode=WAL")
    spool.execute("PRAGMA synchronous=FULL")
    spool.execute("CREATE TABLE IF NOT EXISTS waiting (n INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT)")
    return spool


def read_input(ended):
    spool = open_spool()
    for line in sys.stdin:
        try:
            detection = {"event_id": str(uuid.uuid4()), **json.loads(line)}
        except (ValueError, TypeError):
            print(f"no JSON object, skipped: {line[:200]!r}", file=sys.stderr)
            continue
        with spool:  # one durable transaction
            spool.execute(
                "INSERT INTO waiting (line) VALUES (?)", (json.dumps(detection, ensure_ascii=False),)
            )
    ended.set()


def post(lines):
    """Returns when potok has taken all that is good in these lines; raises what to try again after."""
    body = "\n".join(lines).encode()
    request = urllib.request.Request(URL, body, {"content-type": "application/x-ndjson"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        text = error.read()
        if error.code == 413 and len(lines) > 1:
            post(lines[: len(lines) // 2])
            post(lines[len(lines) // 2 :])
            return
        answer = json.loads(text) if error.code == 400 else {}
        if "rejected" not in answer:
            raise
    for item in answer["rejected"]:  # kept by potok in rejected_events; sending again would not help
        print(f"rejected ({item['reason']}): {item['detail']}", file=sys.stderr)


def main():
    spool = open_spool()
    ended = threading.Event()
    threading.Thread(target=read_input, args=(ended,), daemon=True).start()
    failures = 0
    while True:
        complete = ended.is_set()
        rows = spool.execute("SELECT n, line FROM waiting ORDER BY n LIMIT ?", (BATCH,)).fetchall()
        if not rows:
            if complete:
                return
            time.sleep(0.2)
            continue
        try:
            post([line for _, line in rows])
        except (OSError, ValueError) as error:  # no link, time-out, 5xx, half an answer: outcome unknown
            pause = min(60, 0.5 * 2**failures) * random.uniform(0.5, 1)
            if isinstance(error, urllib.error.HTTPError) and error.headers.get("Retry-After", "").isdigit():
                pause = int(error.headers["Retry-After"])
            failures += 1
            print(f"{error}; again in {pause:.1f} s", file=sys.stderr)
            time.sleep(pause)
            continue
        failures = 0
        with spool:
            spool.execute("DELETE FROM waiting WHERE n <= ?", (rows[-1][0],))


main()
