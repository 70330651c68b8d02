"""Clients of SIP over TLS that shake hands and then never finish a record. Arguments: port, how many, and the bytes of
the record that they send at once.

Each sends the begin of a record, then a byte now and then until the server ends the connection. Writes for each, as one
line, the port it came from, how many bytes it sent one by one, and the seconds until the end; ends when all have ended.
"""

import selectors
import socket
import ssl
import sys
import time

port, count, at_once = map(int, sys.argv[1:])
PATIENCE = 20
BETWEEN = 0.05
REQUEST = b"OPTIONS sip:ping@localhost SIP/2.0\r\nX-Long: " + b"x" * 12_000
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.port = self.socket.getsockname()[1]
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(outgoing.read())
                came = self.socket.recv(65_536)
                assert came, "the connection was closed in the handshake"
                incoming.write(came)
        self.socket.sendall(outgoing.read())
        session.write(REQUEST)
        self.record = outgoing.read()
        self.sent = at_once
        self.began = None

    def begin(self):
        self.socket.sendall(self.record[:at_once])
        self.socket.setblocking(False)
        self.began = time.monotonic()

    def drip(self):
        if self.sent + 1 < len(self.record):
            try:
                self.sent += self.socket.send(self.record[self.sent : self.sent + 1])
            except OSError:
                pass

    def has_ended(self):
        try:
            return not self.socket.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            return True


clients = [Client() for _ in range(count)]
selector = selectors.DefaultSelector()
for client in clients:
    client.begin()
    selector.register(client.socket, selectors.EVENT_READ, client)
while selector.get_map():
    assert time.monotonic() - clients[0].began < PATIENCE, f"{len(selector.get_map())} are not ended"
    for key, _ in selector.select(BETWEEN):
        client = key.data
        if client.has_ended():
            print(client.port, client.sent - at_once, f"{time.monotonic() - client.began:.3f}")
            selector.unregister(client.socket)
            client.socket.close()
    time.sleep(BETWEEN)
    for key in list(selector.get_map().values()):
        key.data.drip()
