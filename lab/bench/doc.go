// Package bench measures the appliance beside Debian's servers, in one run on one
// machine: DHCP beside Kea, ISC dhcpd and dnsmasq; TFTP beside dnsmasq and
// tftpd-hpa; HTTP beside nginx. Servers and load run in two network namespaces that a veth
// pair joins; ours is the real daemon. Runs alternate, so that what else the machine does
// meets all servers alike, and medians are compared.
//
// It is part of the lab because it needs root, minutes, and a machine of its own:
// figures, not tests.
package bench
