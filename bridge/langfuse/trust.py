"""Whose certificates are believed on the way to Langfuse.

Apart from ``client`` for whoever only checks the setting: it needs only the standard library.
"""

import ssl
from pathlib import Path

from bridge.errors import BridgeError


def trust(ca_file: Path) -> ssl.SSLContext:
    """A context that trusts the authorities in ``ca_file`` besides the system's.

    Besides, as NODE_EXTRA_CA_CERTS does for the clients: a proxy that opens TLS is not in every
    way, and a Langfuse may move to a public certificate. Who wants no others sets SSL_CERT_FILE.

    Raises:
        BridgeError: There is nothing to trust in it.
    """
    context = ssl.create_default_context()
    advice = f"Set BRIDGE_CA_FILE to a PEM file of the authorities to trust; it is {ca_file}."
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise BridgeError(f"there is no certificate in the CA file. {advice}") from error
    except OSError as error:
        raise BridgeError(f"cannot read the CA file: {error.strerror}. {advice}") from error
    return context
