"""Structured logs that hold no personal data: only keys from a list, and errors without the values in their text."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import structlog

FRAMES_MAX: Final = 12

#: What a log line may say beside its constant text. Ids are pseudonyms and allowed; values of contacts are not.
ALLOWED_KEYS: Final = frozenset(
    {
        *("event", "level", "timestamp", "logger", "process", "error", "errors", "dropped"),
        *("workspace_id", "contact_id", "stream", "stream_id", "event_id", "event_type", "operation_id", "key_id"),
        *("request_id", "correlation_id", "causation_id", "method", "route", "status", "problem", "duration_ms"),
        *("lane", "position", "last_position", "version", "slices", "projection", "build", "checkpoint", "lag_events"),
        *("lag_ms", "count", "batch_size", "rate", "remaining", "attempt", "attempts_max", "retry_after_s", "wait_s"),
        *("subject", "consumer", "stream_name", "sequence", "server", "host", "port", "pid", "exit_code", "signal"),
        *("reason", "state", "revision", "setting", "queue", "size_bytes", "limit", "sqlstate", "constraint", "path"),
    }
)

#: Errors whose text is known to hold no value that a client sent: ours that speak of positions, and the system's.
TRUSTED_ERRORS: Final = ("eventstore.errors", "servicekit.", "rollbook.", "nats.errors", "nats.js.errors")


def configure(process: str, *, level: str = "info", log_format: str = "json", stream: TextIO | None = None) -> None:
    """Route structlog and the standard library's logging to `stream` (default: standard output) in one form.

    Repeating it replaces the earlier configuration.
    """
    output = stream or sys.stdout
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Named(process),
        describe_error,
        keep_allowed,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_fold_foreign, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(log_format, output)],
            # The error is in the line already, as `error`; the formatter would print it once more, values and all.
            keep_exc_info=False,
            # Libraries' lines are quoted with their placeholders: nobody knows what their arguments hold.
            use_get_message=False,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("asyncio", "httpx2", "nats", "alembic", "sqlalchemy", "urllib3", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # Access lines hold query strings, and so what people searched for.
    logging.getLogger("uvicorn.access").disabled = True


def keep_allowed(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every key that is not on the list, and name the dropped ones so that the mistake is seen."""
    dropped = [key for key in line if key not in ALLOWED_KEYS and not key.startswith("_")]
    for key in dropped:
        del line[key]
    if dropped:
        line["dropped"] = sorted(dropped)
    return line


def describe_error(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace `exc_info` by the classes, places and SQLSTATEs of the error and its causes."""
    info = line.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else sys.exc_info()[1] if info is True else None
    if isinstance(info, tuple):
        error = info[1]
    if error is not None:
        line["errors"] = [_one_error(each) for each in _chain(error)]
    return line


def said(error: BaseException) -> str:
    """The class of an error, with its text where that is known to hold no client's value."""
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str):
        return f"{name} {sqlstate} {getattr(error, 'constraint_name', None) or ''}".strip()
    if isinstance(error, OSError) or name.startswith(TRUSTED_ERRORS):
        return f"{name}: {error}"
    return name


def _one_error(error: BaseException) -> dict[str, Any]:
    return {"error": said(error), "at": _frames(error.__traceback__)}


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain and len(chain) < 5:
        chain.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    if isinstance(error, BaseExceptionGroup):
        chain.extend(error.exceptions[:5])
    return chain


def _frames(traceback: TracebackType | None) -> list[str]:
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        # The last two parts of a path tell the module without telling where the program is installed.
        frames.append(f"{'/'.join(Path(code.co_filename).parts[-2:])}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames[-FRAMES_MAX:]


def _fold_foreign(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A library's error is in its record, and would be printed with its text from there."""
    record: logging.LogRecord | None = line.get("_record")
    if record is not None and record.exc_info:
        line["exc_info"] = record.exc_info
    return line


class _Named:
    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: object, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        line.setdefault("process", self._process)
        return line


def _renderer(log_format: str, output: TextIO) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=output.isatty(), pad_event_to=40)
