# SPDX-License-Identifier: Apache-2.0
"""Runs all scenarios and prints what came of each: `make formal`. Arguments are parts of titles, to run some alone.

Exit status 0 if every claim held, every limit and every negative control yielded the attack that was expected; else 1.
"""
import sys
import time

import availability
import claims
from explorer import Explorer
from scenarios import SCENARIOS


def verdict(kind, expected, violation, reached):
    """What is wrong with an outcome, or None. `violation` is a sentence that begins with the claim's name."""
    if kind in ("holds", "covered"):
        if violation:
            return "an attack was found"
        return None if reached else "no session was made, so that nothing was shown"
    if not violation:
        return "no attack was found"
    return None if violation.startswith(expected) else f"another attack than on {expected} was found"


def handshakes(wanted):
    for scenario in SCENARIOS:
        if wanted(scenario.title):
            explorer = Explorer(scenario, claims)
            violation, steps = explorer.run() or (None, [])
            yield scenario, scenario.expected, violation, steps, explorer.states, bool(explorer.reached)


def availabilities(wanted):
    for plan in availability.PLANS:
        if wanted(plan.title):
            states, steps = availability.explore(plan)
            violation = steps and f"availability: no session after {plan.rounds} round(s) without a loss"
            yield plan, "availability", violation, steps or [], states, True


def main(arguments):
    def wanted(title):
        return not arguments or any(a in title for a in arguments)

    rows, wrong = [], 0
    for outcomes in (handshakes(wanted), availabilities(wanted)):
        started = time.monotonic()
        for subject, expected, violation, steps, states, reached in outcomes:
            complaint = verdict(subject.kind, expected, violation, reached)
            seconds, started = time.monotonic() - started, time.monotonic()
            rows.append((subject.kind, subject.title, states, seconds, violation, complaint))
            wrong += complaint is not None
            if violation:
                print(f"\n{subject.kind}: {subject.title}\n  {violation}")
                for number, step in enumerate(steps, 1):
                    print(f"  {number:3} {step}")
                sys.stdout.flush()
    print(f"\n{'':4} {'kind':8} {'states':>7} {'s':>5}  what, and what was found")
    for kind, title, states, seconds, violation, complaint in rows:
        found = "attack" if violation else "no attack"
        print(f"{'BAD' if complaint else 'ok':4} {kind:8} {states:7} {seconds:5.1f}  {title}: {complaint or found}")
    print(f"\n{len(rows) - wrong} passed, {wrong} failed")
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
