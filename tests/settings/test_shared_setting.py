import threading

import pytest

from trimtab.settings.shared_setting import SharedSetting


class Setting:
    """Something that a whole process has once."""

    def __init__(self):
        self.value, self.history = "usual", []

    def put(self, value):
        before, self.value = self.value, value
        self.history.append(value)
        return lambda: setattr(self, "value", before)


def test_the_last_that_leaves_puts_back_what_was_there():
    setting = Setting()
    shared = SharedSetting(setting.put)
    first, second = shared.at("ours"), shared.at("ours")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert setting.value == "ours"
    second.__exit__(None, None, None)
    assert setting.value == "usual" and setting.history == ["ours"]


def test_whoever_needs_another_value_waits():
    setting = Setting()
    shared = SharedSetting(setting.put)
    seen, has_begun = [], threading.Event()

    def other():
        has_begun.set()
        with shared.at("another"):
            seen.append(setting.value)

    with shared.at("ours"):
        thread = threading.Thread(target=other)
        thread.start()
        has_begun.wait(5)
        thread.join(0.05)
        assert not seen and setting.value == "ours"
    thread.join(5)
    assert seen == ["another"] and setting.value == "usual"


def test_an_error_inside_puts_it_back_too():
    setting = Setting()
    with pytest.raises(ValueError, match="inside"), SharedSetting(setting.put).at("ours"):
        raise ValueError("inside")
    assert setting.value == "usual"
