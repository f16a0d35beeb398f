#!/usr/bin/env python3
"""Recounts mistap's rates outside the program, over a real table of taps.

    python3 examples/recount/recount.py station-hourly.csv --mistap target/debug/mistap

The table is one as operators publish it: `Date;Hour;Station;Ridership`. The script moves it by
whole weeks so that it ends in the last one that is over, makes a network of its stations, starts
a service of its own in a folder of its own, imports the table by `mistap taps import`, draws
failures on top of it with a seed (one station is worse, and one day), reports them through the
API, and asks for rates by station, by hour, by both and by day, self-reported and observed. Then
it counts every row again from the table and the reports, with dispersions written out and
quantiles of scipy, and prints how many rows agree. Status 1 if any does not.

What it needs: pip install -r examples/recount/requirements.txt. Stubs are made from proto/ at each
start and thrown away.
"""

import argparse
import collections
import csv
import datetime
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from zoneinfo import ZoneInfo

import grpc
import grpc_tools
from grpc_tools import protoc
from scipy import stats

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
ZONE = ZoneInfo("Europe/Amsterdam")
OPERATOR = "TABLE"
LEVEL_TAIL = 0.025
REPORTS_PER_CALL = 500
START_SECONDS_MAX = 60

Report = collections.namedtuple("Report", "day hour stop is_observed is_day_only")


def stubs(folder):
    """Makes and imports the stubs of the API."""
    included = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path) for path in (PROTO / "mistap" / "v1").glob("*.proto"))
    options = [f"-I{PROTO}", f"-I{included}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(["protoc", *options, *files]) != 0:
        sys.exit("stubs could not be made")
    sys.path.insert(0, str(folder))


# === The table ===


def moved(path, weeks):
    """The lines of the table, so many weeks later; as many as bring it up to last week if None."""
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file, delimiter=";"))
    dates = [datetime.date.fromisoformat(line["Date"]) for line in lines]
    if weeks is None:
        weeks = (datetime.date.today() - datetime.timedelta(days=2) - max(dates)).days // 7
    later = datetime.timedelta(weeks=weeks)
    table = {}
    for line, date in zip(lines, dates):
        place = ((date + later).isoformat(), int(line["Hour"]), line["Station"])
        table[place] = table.get(place, 0) + int(line["Ridership"])
    return table, weeks


def write_table(path, table):
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, delimiter=";")
        out.writerow(["Date", "Hour", "Station", "Ridership"])
        out.writerows([*place, taps] for place, taps in table.items())


def code(station):
    return station.replace(" ", "_")


def write_network(path, stations):
    """A feed of one line through all stations, so that they have codes."""
    stops = ["stop_id,stop_name,stop_lat,stop_lon"]
    times = ["trip_id,arrival_time,departure_time,stop_id,stop_sequence"]
    for place, station in enumerate(stations):
        at = f"{8 + place // 60:02}:{place % 60:02}:00"
        stops.append(f'"{code(station)}","{station}",12.9{place:02},77.5')
        times.append(f'1,{at},{at},"{code(station)}",{place}')
    files = {
        "agency.txt": ["agency_id,agency_name,agency_url,agency_timezone", f"{OPERATOR},{OPERATOR},http://example.org,Asia/Kolkata"],
        "stops.txt": stops,
        "routes.txt": ["route_id,agency_id,route_short_name,route_long_name,route_type", f"1,{OPERATOR},1,all,1"],
        "trips.txt": ["route_id,service_id,trip_id", "1,1,1"],
        "stop_times.txt": times,
        "calendar.txt": [
            "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
            "1,1,1,1,1,1,1,1,20250101,20351231",
        ],
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, lines in files.items():
            archive.writestr(name, "\n".join(lines) + "\n")


def drawn(table, draw):
    """Failures on top of the taps: 60 in a million, more at one station and on one day."""
    days = sorted({day for day, _, _ in table})
    worse_day, worse_stop = days[len(days) // 3], min(stop for _, _, stop in table)
    reports = []
    for (day, hour, stop), taps in table.items():
        expected = taps * 60e-6 * (6 if day == worse_day else 1) * (3 if stop == worse_stop else 1)
        for _ in range(int(expected) + (draw.random() < expected % 1)):
            reports.append(Report(day, hour, stop, draw.random() < 0.6, draw.random() < 0.05))
    return reports


# === The service ===


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def served(mistap, data):
    """Starts a service, and waits until it says where it listens."""
    log = open(data.parent / "serve.log", "w+", encoding="utf-8")
    process = subprocess.Popen(
        [mistap, "serve", "--data", data, "--listen", "127.0.0.1:0"], stdout=log, stderr=log
    )
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        log.seek(0)
        for line in log.read().splitlines():
            if line.startswith("listening on "):
                return process, line.removeprefix("listening on ")
        time.sleep(0.1)
    process.terminate()
    log.seek(0)
    sys.exit(f"the service did not start: {log.read()}")


def uuid7(draw):
    now = int(time.time() * 1000).to_bytes(6, "big")
    rest = bytearray(now + draw.randbytes(10))
    rest[6], rest[8] = rest[6] & 15 | 0x70, rest[8] & 63 | 0x80
    return str(uuid.UUID(bytes=bytes(rest)))


def at(day, hour=0):
    return datetime.datetime.combine(datetime.date.fromisoformat(day), datetime.time(hour), ZONE)


def tell(channel, reports, draw):
    from mistap.v1 import incident_pb2, reporting_service_pb2, reporting_service_pb2_grpc, taxonomy_pb2

    client = reporting_service_pb2_grpc.ReportingServiceStub(channel)
    refused = 0
    for first in range(0, len(reports), REPORTS_PER_CALL):
        request = reporting_service_pb2.ReportIncidentsRequest()
        for report in reports[first : first + REPORTS_PER_CALL]:
            incident = request.incidents.add()
            incident.incident_id = uuid7(draw)
            incident.occurred_at.FromDatetime(at(report.day, 12 if report.is_day_only else report.hour))
            incident.precision = (
                taxonomy_pb2.TIME_PRECISION_DAY if report.is_day_only else taxonomy_pb2.TIME_PRECISION_HOUR
            )
            incident.reporter = (
                taxonomy_pb2.REPORTER_KIND_DEVICE if report.is_observed else taxonomy_pb2.REPORTER_KIND_TRAVELLER
            )
            incident.mode = taxonomy_pb2.MODE_METRO
            incident.tap_kind = taxonomy_pb2.TAP_KIND_CHECK_IN
            incident.operator, incident.stop = OPERATOR, code(report.stop)
        answer = client.ReportIncidents(request)
        refused += sum(1 for result in answer.results if result.HasField("refusal"))
    return refused


def asked(channel, is_observed, by, days):
    from mistap.v1 import statistics_service_pb2 as messages, statistics_service_pb2_grpc

    request = messages.QueryFiguresRequest(page_size=10_000, rates=messages.RatesRequest())
    basis = messages.BASIS_OBSERVED if is_observed else messages.BASIS_SELF_REPORTED
    request.question.filter.basis = basis
    request.question.by.extend(messages.Dimension.Value(f"DIMENSION_{one}") for one in by)
    end = datetime.date.fromisoformat(days[-1]) + datetime.timedelta(days=1)
    request.question.window.start.FromDatetime(at(days[0]))
    request.question.window.end.FromDatetime(at(end.isoformat()))
    client = statistics_service_pb2_grpc.StatisticsServiceStub(channel)
    return client.QueryFigures(request, wait_for_ready=True)


# === The recount ===


def scatter(days, is_share):
    """Pearson's X² of the days over its degrees of freedom, at least 1."""
    days = [(count, of) for count, of in days if of > 0]
    count, over = sum(day[0] for day in days), sum(day[1] for day in days)
    if len(days) < 2 or count == 0:
        return 1.0
    share = count / over
    rest = 1 - share if is_share else 1.0
    squares = ((some - of * share) ** 2 / (of * share * rest) for some, of in days)
    return max(1.0, math.fsum(squares) / (len(days) - 1))


def garwood(count, phi):
    low = stats.gamma.ppf(LEVEL_TAIL, count / phi) * phi if count else 0.0
    return low, stats.gamma.isf(LEVEL_TAIL, count / phi + 1) * phi


def wilson(count, trials, phi):
    share, n, z = count / trials, trials / phi, stats.norm.isf(LEVEL_TAIL)
    middle, half = share + z * z / 2 / n, z * math.sqrt(share * (1 - share) / n + (z / 2 / n) ** 2)
    return max(0.0, (middle - half) / (1 + z * z / n)), (middle + half) / (1 + z * z / n)


def ratio(count, other, phi):
    a, b = count / phi, other / phi
    low = stats.beta.ppf(LEVEL_TAIL, a, b + 1)
    high = stats.beta.isf(LEVEL_TAIL, a + 1, b)
    return low / (1 - low), high / (1 - high)


class Row:
    """What one row counts."""

    def __init__(self):
        self.reports = 0
        self.matched = collections.Counter()
        self.taps = collections.Counter()
        self.told_days = set()
        self.by_day = {False: collections.Counter(), True: collections.Counter()}

    def differences(self, figure, is_observed, row_days):
        """What mistap says otherwise, as pairs by name."""
        rate = figure.rate
        matched, taps = sum(self.matched.values()), sum(self.taps.values())
        pairs = {
            "count": (figure.count, self.reports),
            "reports": (rate.reports, self.reports),
            "matched": (rate.matched, matched),
            "taps": (rate.taps, taps),
        }
        own, others = self.by_day[is_observed], self.by_day[not is_observed]
        told = (sum(own.values()), sum(others.values()))
        self_reports, refusals = reversed(told) if is_observed else told
        if self_reports and refusals:
            # All lie before the record began: a day of which nothing was told is left out.
            row_days = [day for day in row_days if own[day] or others[day]]
            phi = max(scatter([(of[day], 1) for day in row_days], False) for of in (own, others))
            low, high = ratio(self_reports, refusals, phi)
            pairs["per failure"] = (rate.reporting.value, self_reports / refusals)
            pairs["per failure, low"] = (rate.reporting.low, low)
            pairs["per failure, high"] = (rate.reporting.high, high)
        if rate.HasField("value"):
            days = [
                (self.matched[day], self.taps[day] + (self.matched[day] if is_observed else 0))
                for day in self.told_days
            ]
            phi = scatter(days, is_observed)
            pairs["dispersion"] = (rate.dispersion, phi)
            if is_observed:
                value, (low, high) = matched / (taps + matched), wilson(matched, taps + matched, phi)
            else:
                value, low, high = (end / taps * 1e5 for end in (matched, *garwood(matched, phi)))
            pairs.update(value=(rate.value, value), low=(rate.low, low), high=(rate.high, high))
        return {name: pair for name, pair in pairs.items() if not is_close(*pair)}


def is_close(found, expected):
    return abs(found - expected) <= 1e-9 * max(abs(expected), 1e-9)


def recount(table, reports, is_observed, by):
    """All rows, by key."""
    keys = {
        "STOP": lambda place: code(place[2]),
        "HOUR_OF_DAY": lambda place: f"{place[1]:02}",
        "DAY": lambda place: place[0],
    }
    key = lambda place: tuple(keys[one](place) for one in by)
    rows = collections.defaultdict(Row)
    for report in reports:
        if report.is_day_only and "HOUR_OF_DAY" in by:
            continue
        row = rows[key(report[:3])]
        row.by_day[report.is_observed][report.day] += 1
        if report.is_observed == is_observed:
            row.reports += 1
            if not report.is_day_only and report[:3] in table:
                row.matched[report.day] += 1
    rows = {name: row for name, row in rows.items() if row.reports}
    for place, taps in table.items():
        if key(place) in rows:
            rows[key(place)].taps[place[0]] += taps
            rows[key(place)].told_days.add(place[0])
    return rows


def compared(channel, table, reports):
    """Asks every question, and says how many rows agree, how many of them have a rate, and what does
    not agree."""
    days = sorted({day for day, _, _ in table})
    agreed, with_rate, wrong = 0, 0, []
    for is_observed in (False, True):
        for by in (("STOP",), ("HOUR_OF_DAY",), ("STOP", "HOUR_OF_DAY"), ("DAY",)):
            answer = asked(channel, is_observed, by, days)
            rows = recount(table, reports, is_observed, by)
            if len(answer.figures) != len(rows):
                wrong.append((is_observed, by, f"{len(answer.figures)} rows for {len(rows)}"))
            for figure in answer.figures:
                name = tuple(key.value for key in figure.keys)
                row_days = [name[0]] if by == ("DAY",) else days
                found = rows[name].differences(figure, is_observed, row_days) if name in rows else "no row"
                agreed += not found
                with_rate += not found and figure.rate.HasField("value")
                if found:
                    wrong.append((is_observed, name, found))
    return agreed, with_rate, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=pathlib.Path, help="taps: Date;Hour;Station;Ridership")
    parser.add_argument("--mistap", default="mistap", help="the program")
    parser.add_argument("--weeks", type=int, help="move the table by so many weeks")
    parser.add_argument("--seed", type=int, default=11)
    told = parser.parse_args()
    draw = random.Random(told.seed)
    with tempfile.TemporaryDirectory(prefix="mistap-recount-") as name:
        folder = pathlib.Path(name)
        stubs(folder)
        table, weeks = moved(told.table, told.weeks)
        stations = sorted({station for _, _, station in table})
        write_table(folder / "taps.csv", table)
        write_network(folder / "network.zip", stations)
        data = folder / "data"
        run(told.mistap, "network", "import", folder / "network.zip", "--data", data)
        process, address = served(told.mistap, data)
        try:
            columns = "--date Date --hour Hour --stop Station --count Ridership --blanks-as _"
            feed = f"--feed table.entries --operator {OPERATOR} --refusals excluded"
            run(
                *[told.mistap, "taps", "import", folder / "taps.csv", "--server", address],
                *["--delimiter", ";", *columns.split(), *feed.split()],
            )
            print(f"{len(table)} lines of taps, moved by {weeks} weeks, {sum(table.values())} taps")
            reports = drawn(table, draw)
            with grpc.insecure_channel(address.removeprefix("http://")) as channel:
                refused = tell(channel, reports, draw)
                print(f"{len(reports)} reports drawn with seed {told.seed}, {refused} refused")
                agreed, with_rate, wrong = compared(channel, table, reports)
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS_MAX)
    for one in wrong[:10]:
        print(*one)
    print(f"{agreed} rows agree, {with_rate} of them with a rate; {len(wrong)} differ")
    sys.exit(bool(wrong or refused or not agreed))


if __name__ == "__main__":
    main()
