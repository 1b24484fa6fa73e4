"""What the context of an event tells about the person's device and browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ua_parser import Device, UserAgent, parse

_TABLETS: Final = ("ipad", "tablet", "kindle")
_MOBILE_SYSTEMS: Final = frozenset({"iOS", "Android", "Windows Phone"})

# Of a text without end, reading takes as long.
_MAX_TEXT: Final = 1000


def device_fields(context: Mapping[str, Any]) -> dict[str, str]:
    """The profile's fields by their names on Segment's page about User.com.

    What a library says of itself in the context counts before what its user agent says.
    """
    fields: dict[str, str] = {}
    text = context.get("userAgent")
    if isinstance(text, str) and text:
        fields |= {"user_agent": text, **_read(text[:_MAX_TEXT])}
    system, device = _part(context, "os"), _part(context, "device")
    screen, page = _part(context, "screen"), _part(context, "page")
    said = {
        "os": _joined(system.get("name"), system.get("version")),
        "device_name": device.get("name") or device.get("model"),
        "device_type": device.get("type"),
        "language": context.get("locale"),
        "resolution": _resolution(screen),
        "ip_address": context.get("ip"),
        "timezone": context.get("timezone"),
        "current_url": page.get("url"),
    }
    fields |= {name: value for name, value in said.items() if isinstance(value, str) and value}
    return fields


def _read(text: str) -> dict[str, str]:
    """What a user agent tells; the library remembers the last ones that it has read."""
    found = parse(text)
    fields: dict[str, str | None] = {}
    if found.os is not None:
        fields["os"] = _joined(found.os.family, _version(found.os.major, found.os.minor))
    if found.device is not None:
        fields["device_name"] = found.device.family
    if found.user_agent is not None:
        fields |= _browser(found.user_agent)
    fields["device_type"] = _device_type(
        text, found.device, found.os.family if found.os is not None else ""
    )
    return {name: value for name, value in fields.items() if value}


def _browser(browser: UserAgent) -> dict[str, str | None]:
    return {
        "browser_family": browser.family,
        "browser_version": _version(browser.major, browser.minor),
    }


def _device_type(text: str, device: Device | None, system: str) -> str | None:
    if device is not None and device.brand == "Spider":
        return "bot"
    named = f"{device.family} {device.brand}".lower() if device is not None else ""
    if any(word in named for word in _TABLETS):
        return "tablet"
    if system in _MOBILE_SYSTEMS:
        # Android's tablets leave the word out of what they send.
        return "mobile" if system != "Android" or "Mobile" in text else "tablet"
    return "desktop" if system else None


def _version(*parts: str | None) -> str:
    known = []
    for part in parts:
        if part is None:
            break
        known.append(part)
    return ".".join(known)


def _joined(name: Any, version: Any) -> str | None:
    if not isinstance(name, str) or not name:
        return None
    return f"{name} {version}" if isinstance(version, str | int) and version != "" else name


def _resolution(screen: Mapping[str, Any]) -> str | None:
    width, height = screen.get("width"), screen.get("height")
    if isinstance(width, int | float) and isinstance(height, int | float):
        return f"{width:g}x{height:g}"
    return None


def _part(context: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = context.get(name)
    return value if isinstance(value, Mapping) else {}
