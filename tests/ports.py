"""Ports for servers that are told theirs before they open it."""

import random
import socket


def free_port():
    """One that nothing listens to, from where no system takes ports for connections: there none comes in between."""
    draws = random.SystemRandom()
    while True:
        port = draws.randrange(20_000, 32_000)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
