"""A client of SIP over WebSocket through the package websockets. Arguments: URL, and for wss a file of authorities.

Writes what came of each step as one line, and ends.
"""

import ssl
import sys

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

url, *authorities = sys.argv[1:]
context = ssl.create_default_context(cafile=authorities[0]) if authorities else None
if context:
    # The package reads in one thread while another writes, which the ssl module of older Pythons does not bear when a
    # session ticket of TLS 1.3 comes at that moment: what is written then is lost.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
ORIGIN = "https://page.example"
number = 0


def options(headers=""):
    global number
    number += 1
    return (
        "OPTIONS sip:ping@localhost SIP/2.0\r\n"
        f"Via: SIP/2.0/WS client.invalid;branch=z9hG4bK{number}\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:client@localhost>;tag=1\r\nTo: <sip:ping@localhost>\r\n"
        f"Call-ID: call-{number}\r\nCSeq: 1 OPTIONS\r\n{headers}Content-Length: 0\r\n\r\n"
    )


def answer(client):
    text = client.recv(timeout=20)
    assert f"\r\nCall-ID: call-{number}\r\n" in text, text
    return text.splitlines()[0]


def pieces(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


# It offers compression, which need not be taken.
with connect(url, ssl=context, origin=ORIGIN, subprotocols=["other", "sip"]) as client:
    print("subprotocol", client.subprotocol)
    client.send(options())
    print("text", answer(client))
    client.send(options().encode())
    text = client.recv(timeout=20)
    print("binary", (text if isinstance(text, str) else text.decode()).splitlines()[0])
    client.send(pieces(options(), 100))
    print("fragments", answer(client))
    client.send(options("X-Long: " + "x" * 8000 + "\r\n"))
    print("long", answer(client))
    print("pong", client.ping(b"are you there").wait(20))
    client.close(1000)
    print("closed", client.close_code)

for what, more in [
    ("without sip", {"origin": ORIGIN, "subprotocols": ["other"]}),
    ("without origin", {"subprotocols": ["sip"]}),
]:
    try:
        connect(url, ssl=context, **more)
    except InvalidStatus as refused:
        print(what, refused.response.status_code)

# The frame is whole, so that what comes behind it can be read.
with connect(url, ssl=context, origin=ORIGIN, subprotocols=["sip"]) as client:
    client.send("this is no SIP at all\r\n\r\n")
    client.send(options())
    print("behind no SIP", answer(client))
