"""A subscriber through the package opensips. Arguments: MI port, event, number of events, and for UNIX a socket path.

Writes a line "subscribed" once it is, then the parameters of each event as JSON, and ends after the last one.
"""

import json
import sys
import threading

from opensips.event import OpenSIPSEventHandler
from opensips.mi import OpenSIPSMI

port, event, wanted, *path = sys.argv[1:]
done = threading.Event()
seen = []


class UnixHandler(OpenSIPSEventHandler):
    """The package leaves the scheme of a UNIX socket out when it subscribes; no server takes that."""

    def __mi_subscribe__(self, event_name, sock_name, expire):
        super().__mi_subscribe__(event_name, f"unix:{sock_name}", expire)

    def __mi_unsubscribe__(self, event_name, sock_name):
        super().__mi_unsubscribe__(event_name, f"unix:{sock_name}")


def take(message):
    seen.append(message)
    print(json.dumps(message["params"]), flush=True)
    if len(seen) == int(wanted):
        done.set()


mi = OpenSIPSMI("datagram", datagram_ip="127.0.0.1", datagram_port=port, datagram_timeout="10")
if path:
    handler = UnixHandler(mi, "datagram", unix_path=path[0])
else:
    handler = OpenSIPSEventHandler(mi, "datagram", ip="127.0.0.1")
subscription = handler.subscribe(event, take)
print("subscribed", flush=True)
if not done.wait(30):
    sys.exit(f"{len(seen)} of {wanted} events came")
subscription.unsubscribe()
