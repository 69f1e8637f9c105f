"""Is it a browser that asks? Pure checks of headers, before anything else is looked at.

Responsible for: that no web page can post here or read from here, neither from another site nor
under a name that was made to point at this machine (DNS rebinding).
Left to others: who the client is, what it asks for (``request``).

A page may send simple requests to any address without asking; what it cannot do is leave out
``Origin``, lie in ``Sec-Fetch-Site``, or choose ``Host``. There are no CORS headers in any answer,
so it cannot read one either. gRPC needs none of this: browsers cannot speak it.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from bridge.receive.request import Refusal, RefusedError

OWN_SITES: Final = frozenset({"", "none", "same-origin"})
"""``none``: somebody typed the address. ``same-site`` is another port of this machine."""


def check_origin(headers: Mapping[str, str], hosts: frozenset[str] | None) -> None:
    """Refuse what a web page sent.

    Args:
        headers: A mapping that ignores case.
        hosts: Names under which we may be addressed, besides this machine's own; None: any.

    Raises:
        RefusedError: A browser sent it for a page, or meant another host.
    """
    if "Origin" in headers or headers.get("Sec-Fetch-Site", "").lower() not in OWN_SITES:
        raise RefusedError(
            Refusal.CROSS_SITE,
            "Web pages may not send anything here; export from a program outside the browser.",
        )
    if hosts is not None and not _is_ours(headers.get("Host", ""), hosts):
        raise RefusedError(
            Refusal.HOST,
            "This bridge is not addressed by the name in the Host header; use 127.0.0.1, or add "
            "the name to BRIDGE_ALLOWED_HOSTS.",
        )


def is_loopback(host: str) -> bool:
    """Whether a host, without its port, is this machine to itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ours(host_header: str, hosts: frozenset[str]) -> bool:
    try:
        host = urlsplit(f"//{host_header}").hostname or ""
    except ValueError:  # brackets that are not an IPv6 address
        return False
    return is_loopback(host) or host in hosts
