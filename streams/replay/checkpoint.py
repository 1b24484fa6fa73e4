"""How far a replay has come, in a file, so that the next one goes on from there.

Items come in the same order whenever the same sources are read with the same filters. So
it is enough to know how many of them each partition has confirmed, and that what was read
is what was read then.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import orjson

from streams.errors import SettingsError, StreamsError

VERSION: Final = 1


@dataclass(slots=True)
class Checkpoint:
    """``confirmed`` counts by partition; ``run`` names the replay, over all its parts."""

    run: str
    topic: str
    digest: str = ""
    """Of everything that is to be produced, in the order of reading."""
    confirmed: list[int] = field(default_factory=list)
    version: int = VERSION

    def save(self, path: Path) -> None:
        """Replace the file as a whole: a crash leaves the old one or the new one."""
        new = path.with_name(f"{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise StreamsError(f"--checkpoint {path}: {error.strerror}") from error


def load(path: Path) -> Checkpoint | None:
    """The checkpoint in a file; None if there is none. Raises ``SettingsError``."""
    try:
        read = orjson.loads(path.read_bytes())
        if read["version"] != VERSION:
            raise ValueError(f"it is of version {read['version']}")
        found = Checkpoint(**read)
        if not all(type(count) is int and count >= 0 for count in found.confirmed):
            raise ValueError("its counts are none")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"--checkpoint {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise SettingsError(
            f"--checkpoint {path}: is no checkpoint of this version; name another file, or let "
            "--restart replace it"
        ) from error
    return found


def default_path(directory: Path, described: Sequence[str]) -> Path:
    """Where the checkpoint of the replay that is so described is kept."""
    name = hashlib.blake2b("\0".join(described).encode(), digest_size=8).hexdigest()
    return directory / "replay" / f"{name}.json"
