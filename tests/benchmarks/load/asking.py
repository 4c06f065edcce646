"""Clients that search without a pause, each over a connection of its own, as users of an agency's application do."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import count

import urllib3
from tests.benchmarks.load.figures import Asked
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

    def ask(self, clients: int, number: int, *, importing: bool) -> Asked:
        """So many searches by so many clients at a time."""
        asked = Asked(clients, importing)
        numbers = count()
        started = time.perf_counter()
        threads = [threading.Thread(target=self._client, args=(asked, numbers, number)) for _ in range(clients)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        asked.elapsed = time.perf_counter() - started
        return asked

    def _client(self, asked: Asked, numbers: count[int], number: int) -> None:
        tokens = self._stack.tokens(self._agency)
        pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=60)
        while (this := next(numbers)) < number:
            body = {
                "case_id": self._case,
                "probe": self._probes[this % len(self._probes)],
                "probe_source": "other_still",
                "face": "largest",
            }
            began = time.perf_counter()
            answer = pool.request("POST", self._url, json=body, headers={"Authorization": f"Bearer {tokens.token()}"})
            spent = time.perf_counter() - began
            with self._lock:
                asked.seconds.append(spent)
                asked.statuses[answer.status] += 1
                asked.without_retry_after += answer.status in {429, 503} and "Retry-After" not in answer.headers
                self.answered += 1
