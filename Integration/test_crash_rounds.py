"""A few of the rounds of crash_rounds.py; `make crash ROUNDS=100` runs as many as are asked for."""

import secrets

from crash_rounds import COMMANDS, run


def test_what_was_committed_survives_kills_at_random_instants(store):
    said = []
    assert run(8, secrets.randbelow(1 << 32), [store], COMMANDS, say=said.append) == 0, "\n".join(said)
