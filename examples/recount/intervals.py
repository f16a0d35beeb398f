#!/usr/bin/env python3
"""Compares intervals of mistap with those of scipy and statsmodels, on random cases.

    cargo build --example intervals
    python3 examples/recount/intervals.py target/debug/examples/intervals

Draws cases with a seed (counts from none to millions, rare and frequent ones, four levels, days
that scatter or do not), asks the program given for each, computes the same apart, and prints for
each method the largest relative difference of an end. Where days do not scatter, statsmodels
computes the interval; where they do, nobody else offers it, and the quantiles are scipy's. Those of
scipy's beta distribution have six to eight digits where few of very many are counted. Where one
differs, mpmath puts the program's end into the distribution function to 40 digits, and how far it
is from the tail that it should have is the difference. Ends with status 1 if any difference is
larger than the limit.
"""

import argparse
import collections
import math
import random
import subprocess
import sys
import warnings

import mpmath
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.rates import confint_poisson

LEVELS = (0.5, 0.9, 0.95, 0.999)
METHODS = ("garwood", "jeffreys-rate", "wilson", "clopper-pearson", "jeffreys", "ratio")
OF_SHARES = ("wilson", "clopper-pearson", "jeffreys")
NAMES = {"clopper-pearson": "beta"}
SMALLEST, LARGEST = 1e-290, 1e290
# Relative difference from scipy that mpmath decides.
DISPUTED = 1e-11


def scale(draw, most):
    """A whole number from 0 to so many, as often small as large."""
    return min(most, int(math.exp(draw.uniform(0, math.log(most + 1.0)))) - draw.randint(0, 1))


def split(draw, total, parts, evenly):
    """So many as a sum of parts."""
    weights = [1.0 if evenly else draw.expovariate(1) ** 3 + 1e-9 for _ in range(parts)]
    cuts, whole = [0], sum(weights)
    for weight in weights:
        cuts.append(cuts[-1] + weight)
    places = [round(total * cut / whole) for cut in cuts]
    return [after - before for before, after in zip(places, places[1:])]


def case(draw, method):
    """A case as numbers: count, exposure, days; of a ratio two counts with their exposures."""
    level = draw.choice(LEVELS)
    count = max(0, scale(draw, draw.choice((10, 1_000, 1_000_000))))
    if method in OF_SHARES:
        over = max(1, count + max(0, scale(draw, draw.choice((10, 1_000, 1_000_000_000)))))
    else:
        over = max(1, scale(draw, 1_000_000_000))
    parts = draw.choice((0, 0, 7, 31))
    days = []
    if parts and method != "ratio":
        exposures = split(draw, over, parts, True)
        counts = split(draw, count, parts, draw.random() < 0.3)
        if method in OF_SHARES:
            counts = [min(some, of) for some, of in zip(counts, exposures)]
            count = sum(counts)
        days = list(zip(counts, exposures))
    elif parts:
        days = list(zip(split(draw, count, parts, draw.random() < 0.3), [1] * parts))
    numbers = [count, over]
    if method == "ratio":
        numbers += [max(0, scale(draw, 100_000)), max(1, scale(draw, 1_000_000_000))]
    return numbers, level, days


def scatter(days, is_share):
    """Pearson's X² over its degrees of freedom, at least 1."""
    days = [(count, of) for count, of in days if of > 0]
    count, over = sum(day[0] for day in days), sum(day[1] for day in days)
    if len(days) < 2 or count == 0 or (is_share and count == over):
        return 1.0
    share = count / over
    rest = 1 - share if is_share else 1.0
    # Of differences, so that no digits are lost where shares are small.
    sum_of = math.fsum((some - of * share) ** 2 / (of * share * rest) for some, of in days)
    return max(1.0, sum_of / (len(days) - 1))


def expected(method, numbers, level, phi):
    """Both ends, computed apart."""
    tail = (1 - level) / 2
    count, over = numbers[:2]
    if method == "ratio":
        other, other_over = numbers[2:]
        odds = other_over / over
        # The odds of a share; of the two shares the smaller, as 1 less it is known to all digits.
        a, b = count / phi, other / phi
        low, high = 0.0, math.inf
        if count:
            share, rest = stats.beta.ppf(tail, a, b + 1), stats.beta.isf(tail, b + 1, a)
            low = share / (1 - share) if share < 0.5 else (1 - rest) / rest
        if other:
            share, rest = stats.beta.isf(tail, a + 1, b), stats.beta.ppf(tail, b, a + 1)
            high = share / (1 - share) if share < 0.5 else (1 - rest) / rest
        return low * odds, high * odds
    if method == "garwood":
        if phi == 1:
            return tuple(float(end) for end in confint_poisson(count, over, "exact-c", 2 * tail))
        low = 0.0 if count == 0 else stats.chi2.ppf(tail, 2 * count / phi) / 2 * phi / over
        return low, stats.chi2.isf(tail, 2 * count / phi + 2) / 2 * phi / over
    if method == "jeffreys-rate":
        low = 0.0 if count == 0 else stats.gamma.ppf(tail, count / phi + 0.5) * phi / over
        return low, stats.gamma.isf(tail, count / phi + 0.5) * phi / over
    if method == "wilson" and phi != 1:
        share, n, z = count / over, over / phi, stats.norm.isf(tail)
        middle, half = share + z * z / 2 / n, z * math.sqrt(share * (1 - share) / n + (z / 2 / n) ** 2)
        return max(0.0, (middle - half) / (1 + z * z / n)), (middle + half) / (1 + z * z / n)
    if phi == 1:
        ends = proportion_confint(count, over, 2 * tail, NAMES.get(method, method))
        low, high = (float(end) for end in ends)
    else:
        x, rest = count / phi, (over - count) / phi
        if method == "clopper-pearson":
            low = stats.beta.ppf(tail, x, rest + 1) if count else 0.0
            high = stats.beta.isf(tail, x + 1, rest) if rest else 1.0
        else:
            low, high = stats.beta.ppf(tail, x + 0.5, rest + 0.5), stats.beta.isf(tail, x + 0.5, rest + 0.5)
    if method == "jeffreys":
        # Set to the ends where nothing or everything succeeded, as Brown, Cai and DasGupta advise.
        low, high = (0.0 if count == 0 else low), (1.0 if count == over else high)
    return max(0.0, low), min(1.0, high)


def off(method, numbers, level, phi, end, is_low):
    """How far an end of a share is from the quantile that it should be, relatively, by mpmath."""
    mpmath.mp.dps = 40
    tail, phi = (1 - mpmath.mpf(str(level))) / 2, mpmath.mpf(phi)
    x, rest = numbers[0] / phi, (numbers[1] - numbers[0]) / phi
    half = mpmath.mpf("0.5")
    if method == "jeffreys":
        a, b = x + half, rest + half
    else:
        a, b = (x, rest + 1) if is_low else (x + 1, rest)
    end = mpmath.mpf(end)
    sides = (0, end) if is_low else (end, 1)
    reached = mpmath.betainc(a, b, *sides, regularized=True)
    density = mpmath.exp((a - 1) * mpmath.log(end) + (b - 1) * mpmath.log1p(-end)) / mpmath.beta(a, b)
    return float(abs(reached - tail) / (density * end))


def clamped(method, numbers, ends):
    """No end lies past the estimate: with few effective events a quantile may."""
    if method == "ratio":
        return ends
    estimate = numbers[0] / numbers[1]
    return min(ends[0], estimate), max(ends[1], estimate)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the example `intervals`, built")
    parser.add_argument("--cases", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1e-10, help="largest relative difference")
    parser.add_argument("--worst", type=int, default=1, help="cases shown of each method")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    draw = random.Random(asked.seed)
    cases = [(method, *case(draw, method)) for _, method in zip(range(asked.cases), METHODS * asked.cases)]
    lines = [
        " ".join([method, *map(str, numbers), str(level), *(f"{some}/{of}" for some, of in days)])
        for method, numbers, level, days in cases
    ]
    run = subprocess.run([asked.program], input="\n".join(lines), capture_output=True, text=True, check=True)
    found = [tuple(map(float, line.split())) for line in run.stdout.splitlines()]
    assert len(found) == len(cases), (len(found), len(cases))
    differences, disputed = collections.defaultdict(list), collections.Counter()
    for (method, numbers, level, days), line, (low, high, phi) in zip(cases, lines, found):
        apart = scatter(days, method in OF_SHARES)
        ends = clamped(method, numbers, expected(method, numbers, level, phi))
        far = [abs(phi - apart) / apart]
        for end, other, is_low in zip((low, high), ends, (True, False)):
            # Where numbers end, one is as good as another.
            if max(end, other) < SMALLEST or LARGEST < min(end, other):
                far.append(0.0)
            else:
                difference = abs(end - other) / max(abs(end), abs(other))
                if DISPUTED < difference and method in ("clopper-pearson", "jeffreys"):
                    disputed[method] += 1
                    difference = off(method, numbers, level, phi, end, is_low)
                far.append(difference)
        differences[method].append((max(far), line[:100], (low, high), ends))
    largest = 0.0
    for method, some in differences.items():
        some.sort(key=lambda one: -one[0])
        largest = max(largest, some[0][0])
        told = f"{method}: {len(some)} cases, largest relative difference {some[0][0]:.2g}"
        print(told + (f", {disputed[method]} ends by mpmath" if disputed[method] else ""))
        for far, line, ours, theirs in some[: asked.worst]:
            print(f"    {far:.2g}: {line}: {ours} for {theirs}")
    print(f"{len(cases)} cases, largest relative difference of all {largest:.2g}")
    sys.exit(asked.limit < largest)


if __name__ == "__main__":
    main()
