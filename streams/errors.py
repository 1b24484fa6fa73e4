"""Every error this program raises on purpose.

::

    StreamsError
    ├── SettingsError        a setting, or a file it names, is wrong (exit status 2)
    ├── EventError           one event cannot go on: it becomes a dead letter, nothing more
    │   ├── InvalidEvent     what came in is not a Segment event
    │   ├── PayloadError     the event does not satisfy the action it was mapped to
    │   └── DeliveryError    the destination does not take it
    ├── RegistryError        the schema registry does not do what is asked (exit status 1)
    ├── BreakerError         so many events die that something must be wrong with us (status 1)
    └── BrokerError          Kafka did not do what the guarantees need (exit status 1)
        └── TooLargeError    a record is larger than the broker accepts
"""

from __future__ import annotations


class StreamsError(Exception):
    """Base class of the errors in this program."""


class SettingsError(StreamsError):
    """A setting, or a file that a setting names, is wrong.

    The arguments name what is: one for each thing that is wrong.
    """

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


class BrokerError(StreamsError):
    """Kafka did not do what the guarantees need; going on would lose or reorder events."""


class TooLargeError(BrokerError):
    """A record is larger than the broker accepts."""


class RegistryError(StreamsError):
    """The schema registry does not do what is asked of it."""


class BreakerError(StreamsError):
    """So many events become dead letters that something must be wrong with us."""


class EventError(StreamsError):
    """One event cannot go on.

    ``reason`` is a short, stable word for counting and filtering
    (``not-json``, ``no-ids``, ...); the text is for the person who reads the dead letter.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class InvalidEvent(EventError):  # noqa: N818 - names what it is about
    """What came in is not a Segment event."""


class PayloadError(EventError):
    """The event does not satisfy the action it was mapped to."""

    def __init__(self, text: str) -> None:
        super().__init__("invalid-payload", text)


class DeliveryError(EventError):
    """The destination does not take the event.

    ``status`` is its last answer (0: none), ``attempts`` the number of calls made.
    """

    def __init__(self, reason: str, text: str, *, status: int, attempts: int) -> None:
        super().__init__(reason, text)
        self.status = status
        self.attempts = attempts
