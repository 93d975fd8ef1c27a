"""Names of ports that `ipvsadm -L` prints, from the well-known part of /etc/services.

A fixed table in place of this machine's /etc/services: the listing comes from another machine, and the same text must
read the same everywhere. A name that is not here leaves the port open, and the comparison goes by address.
"""

from __future__ import annotations

# https://www.iana.org/assignments/service-names-port-numbers, the names in Debian's and Amazon Linux's /etc/services.
_NAMES = """
ftp/21 ssh/22 telnet/23 smtp/25 domain/53 tftp/69 http/80 kerberos/88 pop3/110 sunrpc/111 ntp/123 imap2/143 imap/143
snmp/161 bgp/179 ldap/389 https/443 microsoft-ds/445 submission/587 ldaps/636 domain-s/853 imaps/993 pop3s/995
ms-sql-s/1433 nfs/2049 etcd-client/2379 etcd-server/2380 mysql/3306 ms-wbt-server/3389 sip/5060 sip-tls/5061
postgresql/5432 postgres/5432 amqp/5672 redis/6379 http-alt/8080 webcache/8080 https-alt/8443 cslistener/9000
jetdirect/9100 memcache/11211 */0
"""
_PORTS = {name: int(port) for name, port in (pair.split("/") for pair in _NAMES.split())}


def port_number(name: str) -> int | None:
    """The port of a service's name; None where it is not known here. No name above differs between protocols."""
    return _PORTS.get(name)
