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


def take(message):
    seen.append(message)
    print(json.dumps(message["params"]), flush=True)
    if len(seen) == int(wanted):
        done.set()


mi = OpenSIPSMI("datagram", datagram_ip="127.0.0.1", datagram_port=port, datagram_timeout="10")
if path:
    handler = OpenSIPSEventHandler(mi, "datagram", unix_path=path[0])
else:
    handler = OpenSIPSEventHandler(mi, "datagram", ip="127.0.0.1")
subscription = handler.subscribe(event, take)
print("subscribed", flush=True)
if not done.wait(30):
    sys.exit(f"{len(seen)} of {wanted} events came")
subscription.unsubscribe()
