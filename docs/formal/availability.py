# SPDX-License-Identifier: Apache-2.0
"""Whether somebody who can send, but neither stop nor (off the path) read, keeps a genuine handshake from its end (§4, §5).

A round is what I and R say to each other, nothing lost: S0, RETRY, S1 in two fragments (7 or 11 in truth), S2 in two. Before
each datagram arrives the attacker puts in up to k of his own, chosen freely. The claim is that after the round, or after three
of them, the session is there whatever he chose. Tables have room for few (1 message a source, 3 in all; 8 and 256 in truth).
"""
from dataclasses import dataclass, replace

PRECAUTIONS = {
    "cookie": "R drops an S1 fragment whose cookie is not for its source (CookieJar.check)",
    "stateless": "R keeps nothing for an S0",
    "hash in key": "fragments are collected by (source, index, hash)",
    "fair table": "a full table evicts the oldest of the heaviest source, a full source its own",
    "seal": "a RETRY is sealed with the S0 that it answers as associated data",
    "fmac": "a fragment of S2 carries a MAC under k_frag",
    "no abort": "bad input never aborts a pending handshake",
}
PER_SOURCE, IN_ALL, RETRIES = 1, 3, 3


@dataclass(frozen=True)
class Plan:
    title: str
    kind: str
    injections: int = 2
    rounds: int = 1
    without: frozenset = frozenset()
    # He reads what passes, and is as quick as that: "" nothing, "S0" or "all".
    reads: str = ""

    def has(self, precaution):
        assert precaution in PRECAUTIONS
        return precaution not in self.without


@dataclass(frozen=True)
class State:
    cookies: tuple = ()  # I: of the RETRYs that it keeps; True is the genuine one.
    aborted: bool = False
    answer: tuple = (None, None)  # I: the fragments of S2 that it has; True is genuine.
    done: bool = False  # I: established.
    pending: tuple = ()  # R: sources whose S0 it remembers, only if it is not stateless.
    table: tuple = ()  # R: (source, key, fragments), the oldest first.
    answered: bool = False  # R: S2 is made.


def alphabet(plan):
    """What the attacker can send, with what an observer of the outside would call it. Sources: I's address is spoofed, X1 and X2
    are his own, for which he has cookies. Ports and receiver indices are granted to him."""
    for source in ("I", "X1", "X2"):
        yield f"S0 from {source}", lambda s, source=source: receive_s0(plan, s, source)[0]
    for source, messages in (("I", 1), ("X1", 3), ("X2", 1)):
        for n in range(1, messages + 1):
            yield f"S1 fragment 0 of a message of his ({n}) from {source}", lambda s, source=source, n=n: receive_s1(
                plan, s, source, f"his {n}", 0, False, cookie=source != "I")
    yield "S1 fragment 1 of a message of his (1) from I", lambda s: receive_s1(plan, s, "I", "his 1", 1, False, cookie=False)
    yield "a RETRY that answers another S0", lambda s: receive_retry(plan, s, f"forged {len(s.cookies)}", sealed=False)
    yield "S2 fragment 0, MAC guessed", lambda s: receive_s2(plan, s, 0, False, authentic=False)
    if plan.reads in ("S0", "all"):
        # The seal's key is public to those who know R's peer_id; its associated data is the S0 that he read.
        yield "a RETRY sealed for this S0, its cookie forged", lambda s: receive_retry(
            plan, s, f"forged {len(s.cookies)}", sealed=True)
    if plan.reads == "all":
        yield "S1 fragment 1 of the genuine message, changed", lambda s: receive_s1(
            plan, s, "I", "genuine", 1, False, cookie=True)


def receive_s0(plan, s, source):
    """(state, whether a RETRY goes back)."""
    if not plan.has("stateless"):
        s = replace(s, pending=(s.pending + (source,))[-IN_ALL:])
    return s, True


def receive_retry(plan, s, cookie, sealed):
    if not sealed and plan.has("seal"):
        return s if plan.has("no abort") else replace(s, aborted=s.aborted or not s.done)
    if s.aborted or cookie in s.cookies or len(s.cookies) >= RETRIES:
        return s
    return replace(s, cookies=s.cookies + (cookie,))


def receive_s1(plan, s, source, message, index, genuine, cookie):
    if not cookie and plan.has("cookie"):
        return s
    if not plan.has("stateless") and source not in s.pending:
        return s
    if s.answered and message == "genuine":
        return s
    key = message if plan.has("hash in key") else "any"
    table = list(s.table)
    place = next((n for n, e in enumerate(table) if e[:2] == (source, key)), None)
    if place is None:
        own = [n for n, e in enumerate(table) if e[0] == source]
        if plan.has("fair table") and len(own) >= PER_SOURCE:
            del table[own[0]]
        elif len(table) >= IN_ALL:
            counts = [sum(e[0] == f[0] for f in table) for e in table]
            del table[counts.index(max(counts)) if plan.has("fair table") else 0]
        table.append((source, key, (None, None)))
        place = len(table) - 1
    parts = list(table[place][2])
    if parts[index] is None:  # The first copy wins.
        parts[index] = genuine
    table[place] = (source, key, tuple(parts))
    if None not in parts:
        del table[place]
        if all(parts):
            return replace(s, table=tuple(table), answered=True)
    return replace(s, table=tuple(table))


def receive_s2(plan, s, index, genuine, authentic):
    if s.done or s.aborted:
        return s
    if not authentic and plan.has("fmac"):
        return s if plan.has("no abort") else replace(s, aborted=True)
    parts = list(s.answer)
    if parts[index] is None:
        parts[index] = genuine
    if None in parts:
        return replace(s, answer=tuple(parts))
    return replace(s, answer=(None, None), done=all(parts))


def honest(plan):
    """The datagrams of a round, each with what its arrival does."""
    yield "S0 reaches R", lambda s: receive_s0(plan, s, "I")[0]
    yield "RETRY reaches I", lambda s: receive_retry(plan, s, True, sealed=True)
    for index in (0, 1):
        yield f"S1 fragment {index} reaches R", lambda s, index=index: receive_s1(
            plan, s, "I", "genuine", index, True, cookie=True) if True in s.cookies and not s.aborted else s
    for index in (0, 1):
        yield f"S2 fragment {index} reaches I", lambda s, index=index: receive_s2(
            plan, s, index, True, authentic=True) if s.answered else s


def explore(plan):
    """(states seen, None or the steps after which no session is there)."""
    before = {(0, State()): None}
    frontier, count, moves = {State()}, 0, list(alphabet(plan))
    steps = [step for _ in range(plan.rounds) for step in honest(plan)]
    for number, (label, arrive) in enumerate(steps):
        for _ in range(plan.injections):
            for state in list(frontier):
                for name, act in moves:
                    after = act(state)
                    if (number, after) not in before:
                        before[(number, after)] = ((number, state), "+ " + name)
                        frontier.add(after)
        count += len(frontier)
        following = set()
        for state in frontier:
            after = arrive(state)
            before.setdefault((number + 1, after), ((number, state), label))
            following.add(after)
        frontier = following
    traces = []
    for state in frontier:
        if not state.done:
            trace, place = [], (len(steps), state)
            while before[place] is not None:
                place, step = before[place]
                trace.append(step)
            traces.append(trace[::-1])
    # Of all ways to do harm the one with the fewest datagrams; among equals the first by name, so that runs agree.
    return count, min(traces, key=lambda t: (len(t), t), default=None)


def without(*precautions):
    return frozenset(precautions)


PLANS = [
    Plan("off-path: nothing that he sends costs even a repeat", "holds", injections=3),
    Plan("off-path, three rounds", "holds", rounds=3),
    Plan("he reads S0 and forges two RETRYs before the genuine one", "holds", injections=1, reads="S0"),
    Plan("he reads S0 and forges four RETRYs before the genuine one", "limit", rounds=3, reads="S0"),
    Plan("he reads all and changes a fragment of S1", "limit", rounds=3, injections=1, reads="all"),
    Plan("no cookie is asked for", "control", rounds=3, without=without("cookie")),
    Plan("no cookie, and fragments are collected without their hash", "control", rounds=3,
         without=without("cookie", "hash in key")),
    Plan("R remembers who sent an S0", "control", injections=3, rounds=3, without=without("stateless")),
    Plan("a full table evicts whoever is oldest", "control", injections=3, rounds=3, without=without("fair table")),
    Plan("a RETRY is not sealed", "control", injections=3, rounds=3, without=without("seal")),
    Plan("a fragment of S2 has no MAC", "control", rounds=3, without=without("fmac")),
    Plan("bad input aborts", "control", rounds=3, without=without("no abort")),
]
