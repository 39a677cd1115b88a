"""A process that is killed at a step of its work, as a power cut would: for children that tests start."""

import os
import signal


def die_at(owner: type, step: str, count: int, when: str) -> None:
    """From now on, the `count`-th call of method `step` of `owner` is the last thing that this process does: it dies
    "before" it, or "after" it."""
    done, real = [], getattr(owner, step)

    def dying(*arguments, **options):
        done.append(step)
        if len(done) == count and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        if len(done) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, step, dying)
