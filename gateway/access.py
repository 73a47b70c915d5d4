"""From the gateway's address of a broker to the simulators'; they may not import ours."""

from __future__ import annotations

from gateway.link import BrokerAddress
from simulators.access import BrokerAccess


def access_to(address: BrokerAddress) -> BrokerAccess:
    """The same address, for the simulators' clients."""
    return BrokerAccess(
        host=address.host,
        port=address.port,
        tls=address.tls,
        username=address.username,
        password=address.password,
        ca_file=address.ca_file,
        cert_file=address.cert_file,
        key_file=address.key_file,
    )
