"""Python's own XML-RPC server. Writes its port, then the parameters of each call as JSON, in a line each."""

import json
from xmlrpc.client import Binary
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer


class Handler(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"
    rpc_paths = ("/RPC2", "/events")


def plain(value):
    if isinstance(value, Binary):
        return {"base64": value.data.hex()}
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return value


def take(*params):
    print(json.dumps([plain(value) for value in params]), flush=True)
    return True


server = SimpleXMLRPCServer(("127.0.0.1", 0), Handler, logRequests=False, allow_none=True)
server.register_function(take, "take")
print(server.server_address[1], flush=True)
server.serve_forever()
