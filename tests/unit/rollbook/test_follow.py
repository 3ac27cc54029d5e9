"""What of the logs is worth showing on the console."""

from __future__ import annotations

from pathlib import Path

from rollbook.follow import LogFollower, important


def test_warnings_and_errors_are_shown_with_their_details() -> None:
    line = '{"event": "waiting for the log", "level": "warning", "process": "bridge", "retry_after_s": 0.5}'
    assert important(line) == ("warning", "waiting for the log  retry_after_s=0.5")
    line = '{"event": "failed", "level": "error", "errors": [{"error": "ValueError", "at": ["a.py:1 f", "b.py:2 g"]}]}'
    assert important(line) == ("error", "failed  ValueError at b.py:2 g")


def test_everyday_lines_are_not_shown() -> None:
    assert important('{"event": "started", "level": "info"}') == ("", "")
    assert important("") == ("", "")


def test_of_a_traceback_only_the_error_is_shown() -> None:
    traceback = ["Traceback (most recent call last):", '  File "x.py", line 1', "    import y", "ImportError: no y"]
    assert [text for _, text in map(important, traceback) if text] == ["ImportError: no y"]


def test_a_log_is_followed_from_its_end_over_rotation_and_half_lines(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("old error\n")
    shown: list[str] = []
    follower = LogFollower("api", log, lambda _name, _level, text: shown.append(text))
    with log.open("a") as file:
        file.write("first\nsec")
    follower.follow()
    with log.open("a") as file:
        file.write("ond\n")
    follower.follow()
    log.write_text("x\n")
    follower.follow()
    assert shown == ["first", "second", "x"]
