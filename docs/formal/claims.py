# SPDX-License-Identifier: Apache-2.0
"""What must hold in every state that the explorer reaches. Each claim speaks of sessions with a peer whose keys are its own."""
from explorer import A, B
from protocol import OpenedS2

NAMES = ("secrecy", "agreement", "origin", "replay", "identity")


def _trusted(explorer, peer_id):
    for one in (A, B):
        if one.peer_id(explorer.design) is peer_id:
            return one if one.label not in explorer.scenario.leaked else None
    return None


def trusts(scenario, responder):
    return responder in (A, B) and responder.label not in scenario.leaked


def sessions(explorer, state):
    """The initiators' and the confirmed responders' sessions with trusted peers: (mark, peer, session)."""
    knowledge = explorer.knowledge(state)
    for place, one in enumerate(state.initiators):
        if isinstance(one, OpenedS2) and trusts(explorer.scenario, one.made.responder):
            yield ("I", place), one.made.responder, one
    for place, one in enumerate(state.responders):
        if one is None:
            continue
        peer = _trusted(explorer, one.initiator.peer_id(explorer.design))
        # The first valid DATA confirms: the attacker hands on the initiator's keepalive, or makes one.
        if peer and (knowledge.has(one.keys) or any(
                isinstance(i, OpenedS2) and i.keys is one.keys for i in state.initiators)):
            yield ("R", place), peer, one


def complete(explorer, state):
    return tuple(mark for mark, _, _ in sessions(explorer, state))


def violation(explorer, state):
    """What does not hold, in a sentence; None if all does."""
    claimed = explorer.scenario.claims
    knowledge = explorer.knowledge(state)
    found = list(sessions(explorer, state))
    for mark, peer, one in found:
        who = f"{'initiator' if mark[0] == 'I' else 'responder'}'s session {'#@'[mark[0] == 'R']}{mark[1]} with {peer.label}"
        if "secrecy" in claimed and (state.revealed is None or mark in state.revealed) and knowledge.has(one.keys):
            return f"secrecy: the attacker has the keys of the {who}"
        if "agreement" in claimed and state.revealed is None:
            other = state.responders if mark[0] == "I" else [i for i in state.initiators if isinstance(i, OpenedS2)]
            matches = [o for o in other if o is not None and o.view == one.view and o.keys is one.keys]
            agents = {(o.responder if mark[0] == "I" else o.made.initiator).label for o in matches}
            if peer.label not in agents:
                return f"agreement: {peer.label} has no such session as the {who}"
            same = [m for m, _, o in found if m[0] == mark[0] and o.view == one.view]
            if len(same) > 1 or len(matches) > 1:
                return f"injectivity: two sessions answer to one: the {who}"
    if state.revealed is None:
        return _early(explorer, state, knowledge)
    return None


def _early(explorer, state, knowledge):
    """Claims about what was said before a session is complete."""
    claimed, scenario = explorer.scenario.claims, explorer.scenario
    made = [i.made if isinstance(i, OpenedS2) else i for i in state.initiators]
    answers = [r for r in state.responders if r is not None]
    if "origin" in claimed:
        for one in answers:
            peer = _trusted(explorer, one.initiator.peer_id(explorer.design))
            if peer and not any(m.initiator is peer and m.view == one.view1 for m in made):
                return f"origin: {one.responder.label} answered an S1 that {peer.label} did not make for it so"
    if "replay" in claimed:
        # Cookies apart: an S1 that serves again under another cookie is a replay too.
        heads = [
            (r.responder.label, r.view1[2], r.view1[3]) for r in answers
            if _trusted(explorer, r.initiator.peer_id(explorer.design))]
        if len(set(heads)) < len(heads):
            return "replay: one S1 was answered twice"
    if "identity" in claimed:
        for one in made:
            if trusts(scenario, one.responder) and (one.sealed.op != "aead" or knowledge.has(one.key1)):
                return f"identity: payload1 of S1 #{one.number} lies open: {one.initiator.label} calls {one.responder.label}"
        for one in answers:
            peer = _trusted(explorer, one.initiator.peer_id(explorer.design))
            if peer and knowledge.makes(one.head.ct_i):
                return f"identity: S2 @{one.number} shows by ct_i that it is for {peer.label}"
    return None
