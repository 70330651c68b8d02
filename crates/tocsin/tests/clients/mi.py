"""The management interface through the package opensips. Arguments: transport, then its address."""

import sys

from opensips.mi import OpenSIPSMI, OpenSIPSMIException

transport, *address = sys.argv[1:]
if transport == "http":
    mi = OpenSIPSMI("http", url=address[0])
elif transport == "fifo":
    mi = OpenSIPSMI("fifo", fifo_file=address[0], fifo_reply_dir=address[1])
elif transport == "unix":
    mi = OpenSIPSMI("datagram", datagram_unix_socket=address[0], datagram_timeout="10")
else:
    mi = OpenSIPSMI("datagram", datagram_ip=address[0], datagram_port=address[1], datagram_timeout="10")

print(mi.execute("version")["Server"])
print(len(mi.execute("ps")["Processes"]))
print(mi.execute("get_statistics", {"statistics": ["shmem:total_size"]})["shmem:total_size"])
try:
    mi.execute("nosuch")
except OpenSIPSMIException:
    print("refused")
