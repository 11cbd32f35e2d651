"""Where a measurement may connect to: addresses of endpoints, taken apart and judged.

Whoever asks for a measurement from a page makes this machine open a connection. So there the hosts are those of a list
(``AllowedHosts``), and what is judged is the network address that the connection is opened to: a name that points
elsewhere between the check and the use changes nothing.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from executor.errors import BadInputError, shown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Reach = Literal["public", "private", "loopback", "link-local", "reserved"]

_URL = re.compile(r"(https?)://([^/?#@]+)(/.*)?", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MEND = "write http://HOST:PORT or https://HOST/PATH"


@dataclass(frozen=True)
class Place:
    """An endpoint's address in parts; ``authority`` is HOST:PORT as it goes into the Host header."""

    secure: bool
    host: str
    port: int
    authority: str
    path: str


def place_of(url: str) -> Place:
    """An http or https address in parts. BadInputError where it is none, or is nothing that a request can carry.

    >>> place_of("https://gpu1:8443/v1")
    Place(secure=True, host='gpu1', port=8443, authority='gpu1:8443', path='/v1')
    """
    if "@" in url:  # the first checks, as the others show the address
        raise BadInputError("an endpoint's address must hold no password: give the key by its variable")
    if "?" in url or "#" in url:
        raise BadInputError("an endpoint's address has no query, which would not be sent: give the key by its variable")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise _bad(url, "an address has neither blanks nor characters beyond ASCII; write them as xn--.. and %..")
    found = _URL.fullmatch(url)
    if found is None:
        raise _bad(url, _MEND)
    scheme, authority, path = found.groups()
    host, port = _host_and_port(url, authority)
    secure = scheme.lower() == "https"
    return Place(secure, host, (443 if secure else 80) if port is None else port, authority, path or "")


def _host_and_port(url: str, authority: str) -> tuple[str, int | None]:
    """Host without brackets; port None where it is not stated."""
    found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::(\d{1,5}))?", authority, re.IGNORECASE)
    if found is None:
        raise _bad(url, f"its port is a number from 1 to 65535; {_MEND}")
    bracketed, name, digits = found.groups()
    if digits is not None and not 0 < int(digits) < 65536:
        raise _bad(url, "its port must be from 1 to 65535")
    if bracketed is not None:
        if _as_address(bracketed) is None:
            raise _bad(url, "what stands in brackets is no IPv6 address")
    elif len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.removesuffix(".").split(".")):
        raise _bad(url, f"{shown(name)} is no name of a host")
    return bracketed or name, None if digits is None else int(digits)


def _bad(url: str, why: str) -> BadInputError:
    return BadInputError(f"endpoint {shown(url)}: {why}")


def reach_of(address: Address) -> Reach:
    """Who can be met at a network address; an IPv4 address within an IPv6 one counts as itself.

    >>> reach_of(ipaddress.ip_address("::ffff:169.254.169.254"))
    'link-local'
    """
    address = _embedded(address)
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if getattr(address, "is_site_local", False):
        return "private"
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        return "reserved"
    return "public" if address.is_global else "private"


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for: mapped, by 6to4 or by NAT64."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts that queued measurements may go to: names, and networks.

    A public address is allowed where its host's name or its network is listed; a private, loopback, link-local or
    reserved one only where its network is, so that no listed name can point into this machine or its neighbours.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def permits(self, host: str, address: Address) -> bool:
        """Whether a connection to ``address``, found under the name ``host``, may be opened."""
        plain = _embedded(address)
        if any(plain in network for network in self.networks):
            return True
        return reach_of(plain) == "public" and host.casefold().removesuffix(".") in self.names


def hosts_of(listed: str | Iterable[str]) -> AllowedHosts:
    """The hosts of a setting: names, addresses and networks, separated by commas or blanks; ``localhost`` is loopback.

    BadInputError for an entry that is none of these.

    >>> hosts_of("gpu1.example.com, 10.0.0.0/8").networks
    (IPv4Network('10.0.0.0/8'),)
    """
    names: set[str] = set()
    networks: list[Network] = []
    for entry in (listed if isinstance(listed, str) else " ".join(listed)).replace(",", " ").split():
        try:
            networks += [ipaddress.ip_network(each) for each in (_LOOPBACK if entry == "localhost" else (entry,))]
        except ValueError:
            if not all(_LABEL.fullmatch(label) for label in entry.split(".")):
                raise BadInputError(f"allowed hosts: {shown(entry)} is no host, address or network") from None
            names.add(entry.casefold())
    return AllowedHosts(frozenset(names), tuple(networks))


def check_endpoint(url: str, hosts: AllowedHosts) -> None:
    """For a form: BadInputError where measurements of this address would be refused, as far as is known now.

    The name is looked up, which can take seconds. The connection is judged again when it is opened.
    """
    asyncio.run(permitted(place_of(url), hosts))


async def permitted(place: Place, hosts: AllowedHosts) -> list[str]:
    """The network addresses of the host that may be connected to, in the order in which they are tried.

    BadInputError where it has none, or none that ``hosts`` permits.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError as problem:
        raise BadInputError(f"{place.host} has no known address ({problem.strerror or problem})") from None
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    judged = [(text, address) for text in texts if (address := _as_address(text.partition("%")[0])) is not None]
    allowed = [text for text, address in judged if hosts.permits(place.host, address)]
    if not allowed:
        where = ", ".join(reach_of(address) for _, address in judged[:1])  # not which: that is the inner network's own
        raise BadInputError(
            f"measurements may not go to {place.host} ({where}): WAFERLAG_ENDPOINT_HOSTS does not list it"
        )
    return allowed


def _as_address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
