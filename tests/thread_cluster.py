"""A cluster whose workers are threads of this process; tests take some away, or have them fail."""

import queue
import threading
import time

from trimtab.tuning.worker import Worker
from trimtab.tuning.workers import Heard


class ThreadCluster:
    """So many workers that `make` makes of a recruit, each in a thread of its own."""

    def __init__(self, count, make=Worker, threads=1):
        self.asked_for, self.make, self.threads = count, make, threads
        self.sent, self.lost = [], set()
        self._heard: queue.Queue = queue.Queue()
        self._orders: dict[int, queue.Queue] = {}
        self._workers, self._threads, self._next = {}, [], 1
        self._recruit = None

    def begin(self, recruit):
        self._recruit = recruit
        for _ in range(self.asked_for):
            self.hire()

    def hire(self):
        number, self._next = self._next, self._next + 1
        orders = self._orders[number] = queue.Queue()
        thread = threading.Thread(target=self._work, args=(number, orders), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, number, orders):
        worker = self._workers[number] = self.make(self._recruit)
        self._heard.put(Heard(number))
        while (given := orders.get()) is not None:
            try:
                said = worker.work(given)
            except BaseException as error:
                self._heard.put(error)
                return
            if number in self.lost:
                return
            self._heard.put(Heard(number, said))

    def send(self, worker, orders):
        self.sent.append((worker, orders))
        self._orders[worker].put(orders)

    def heard(self, seconds):
        found = []
        try:
            found.append(self._heard.get(timeout=seconds))
            while True:
                found.append(self._heard.get_nowait())
        except queue.Empty:
            pass
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return [each for each in found if each.worker not in self.lost or each.lost]

    def kill(self, worker, *, replaced=True):
        """As where a node is gone: what it was at is never heard of."""
        self.lost.add(worker)
        self._workers[worker].stop()
        self._heard.put(Heard(worker, lost="its node is gone"))
        if replaced:
            self.hire()

    def dismiss(self, worker):
        self._orders[worker].put(None)

    def stop(self, worker):
        self._workers[worker].stop()

    def where(self, worker):
        return f"Worker {worker}"

    def close(self):
        for orders in self._orders.values():
            orders.put(None)
        for thread in self._threads:
            thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def within(seconds, holds):
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()
