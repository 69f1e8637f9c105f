"""What a person is shown of kept bytes: JSON where they can be read as such, else hex."""

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from bridge.decode.apart import KINDS
from bridge.decode.envelope import inflated
from bridge.decode.values import document, proto_message
from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, ExportRequest

MAX_HEX_BYTES = 65_536


def shown_request(request: ExportRequest) -> dict[str, object]:
    """The request's document under ``request``, or the beginning of its bytes under ``hex``."""
    try:
        body = inflated(request)
        if request.encoding is Encoding.JSON:
            return {"request": document(body)}
        return {"request": shown_message(proto_message(KINDS[request.signal], body))}
    # What cannot be shown is why it is here; RecursionError: json_format follows nesting.
    except (UndecodableError, ValueError, RecursionError):
        return {"hex": request.body[:MAX_HEX_BYTES].hex()}


def shown_message(message: Message) -> dict[str, object]:
    """A protobuf message as a document; ids are base64, as protobuf writes bytes."""
    told: dict[str, object] = MessageToDict(message)
    return told
