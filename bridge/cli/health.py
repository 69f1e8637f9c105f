"""The command ``health``, for health checks and probes: run every half minute, hence no rich."""

import argparse
import ssl

from bridge.cli.daemon import read_sources
from bridge.cli.printing import OK, USAGE, fail, print_lines
from bridge.config import Config
from bridge.config.addresses import http_endpoint
from bridge.errors import BridgeError
from bridge.terminal.asking import ask, health_line, trusting
from bridge.terminal.sending import EndpointError, endpoint


def health(args: argparse.Namespace) -> int:
    """One line on how a bridge is."""
    config = read_sources(args).config
    try:
        to = endpoint(args.url or _own_url(config))
    except EndpointError as error:
        fail(str(error))
        return USAGE
    secure = to.base.scheme == "https"
    print_lines([health_line(ask(to, _context(args, config) if secure else None))])
    return OK


def _own_url(config: Config) -> str:
    if not config.port:
        raise BridgeError("the port is any free one; name the bridge's address with --url")
    return http_endpoint(config)


def _context(args: argparse.Namespace, config: Config) -> ssl.SSLContext:
    if config.tls_client_ca and not args.url and not args.cert:
        raise BridgeError("this bridge asks for a certificate; show one with --cert and --key")
    pinned = None if args.url or args.ca else config.tls_cert
    return trusting(pinned=pinned, authorities=args.ca, cert=args.cert, key=args.key)
