"""Clients that search without a pause, each over a connection of its own, as users of an agency's application do."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import urllib3
from tests.benchmarks.load.figures import UNANSWERED, Asked
from tests.e2e.stack import Stack

from candid.cli.api import text


class Searches:
    """Searches of one agency and case; ``answered`` counts all."""

    def __init__(self, stack: Stack, agency: str, case_id: str, probes: Sequence[bytes]) -> None:
        self._url = f"{stack.told['api_url']}/v1/searches"
        self._stack, self._agency, self._case = stack, agency, case_id
        self._probes = [text(probe) for probe in probes]
        self._lock = threading.Lock()
        self.answered = 0

    def ask(self, asked: Asked, number: int) -> Asked:
        """So many more searches, by as many clients at a time as ``asked`` says. Raises what a client fails by."""
        numbers = count()
        started = time.perf_counter()
        with ThreadPoolExecutor(asked.clients) as pool:
            clients = [pool.submit(self._client, asked, numbers, number) for _ in range(asked.clients)]
        for one in clients:
            one.result()
        asked.elapsed += time.perf_counter() - started
        return asked

    def _client(self, asked: Asked, numbers: count[int], number: int) -> None:
        tokens = self._stack.tokens(self._agency)
        pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=60)
        while (this := next(numbers)) < number:
            headers = {"Authorization": f"Bearer {tokens.token()}"}
            began = time.perf_counter()
            try:
                answer = pool.request("POST", self._url, json=self.body(this), headers=headers)
                status, wait = answer.status, answer.headers.get("Retry-After")
            except urllib3.exceptions.HTTPError:
                status, wait = UNANSWERED, None
            spent = time.perf_counter() - began
            with self._lock:
                asked.note(spent, status, wait)
                self.answered += status != UNANSWERED

    def body(self, number: int) -> dict[str, str]:
        """What the search of this number asks."""
        return {
            "case_id": self._case,
            "probe": self._probes[number % len(self._probes)],
            "probe_source": "other_still",
            "face": "largest",
        }
