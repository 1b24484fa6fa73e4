"""What User.com's answers mean: docs/usercom.md has these rules as a table.

It documents 400, 401, 403, 404, 429 (without a ``Retry-After``), 500, 502 and 504
(apidocs.user.com); the rest are HTTP's own rules.
"""

from __future__ import annotations

from typing import Final

from streams.destinations.status import classifier, http_rules

RULES: Final = http_rules(
    urls="`USERCOM_API_URL` is wrong",
    keys="the key is wrong or revoked, or the domain is not trusted",
)

classify: Final = classifier(RULES)


def advice(status: int) -> str:
    """What to do about an answer that means that something is set up wrong.

    Of a 403: "Troubleshooting" of Segment's page about User.com.
    """
    if status == 403:
        return (
            "USERCOM_API_KEY was revoked (User.com > App settings > Advanced), or calls come from "
            "a domain that is not trusted (App settings > Advanced > Domains)"
        )
    if 300 <= status < 400 or status == 404:
        return "check USERCOM_API_URL: it is https://<your subdomain>.user.com"
    return "check its key: USERCOM_API_KEY"
