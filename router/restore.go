package router

// restored are the properties, beside those that are compared, that a row must
// get again when a removal is taken back: all that can be written, in any
// version from 7.18 to 7.24 (a router leaves out of a print what it does not
// know). The key of a BGP session is not among them: secrets are not read.
var restored = map[string][]string{
	"/interface/bridge": words("add-dhcp-option82 admin-mac ageing-time arp arp-timeout auto-mac dhcp-agent-circuit-id dhcp-agent-remote-id dhcp-snooping " +
		"dhcpv6-agent-circuit-id dhcpv6-agent-remote-id dhcpv6-snooping ether-type fast-forward forward-delay " +
		"forward-reserved-addresses igmp-snooping igmp-version last-member-interval last-member-query-count max-hops " +
		"max-learned-entries max-message-age membership-interval mlag-heartbeat mlag-peer-port mlag-priority mld-version mtu " +
		"multicast-querier multicast-router mvrp port-cost-mode priority protocol-mode pvid querier-interval " +
		"querier-uses-bridge-address query-interval query-response-interval ra-guard region-name region-revision startup-query-count " +
		"startup-query-interval transmit-hold-count"),
	"/interface/bridge/port": words("auto-isolate bpdu-guard broadcast-flood fast-leave horizon hw internal-path-cost learn multicast-router mvrp-applicant-state " +
		"mvrp-registrar-state path-cost point-to-point priority restricted-role restricted-tcn tag-stacking trusted trusted-dhcpv6 " +
		"trusted-ra unknown-multicast-flood unknown-unicast-flood"),
	"/interface/bridge/vlan": words("mvrp-forbidden"),
	"/interface/vlan":        words("arp arp-timeout loop-protect loop-protect-disable-time loop-protect-send-interval mtu mvrp use-service-tag"),
	"/ip/address":            words("broadcast netmask network"),
	"/ip/dhcp-client": words("add-default-route allow-reconfigure check-gateway default-route-distance default-route-tables dhcp-options dscp name script " +
		"use-broadcast use-peer-dns use-peer-ntp vlan-priority"),
	"/ip/route": words("blackhole check-gateway distance pref-src routing-table scope suppress-hw-offload target-scope vrf-interface"),
	"/ip/pool":  words("next-pool"),
	"/ip/dhcp-server": words("add-arp add-dns-entries add-dns-entries-suffix address-lists allow-dual-stack-queue always-broadcast bootp-lease-time " +
		"bootp-support client-mac-limit delay-threshold dhcp-option-set dynamic-lease-identifiers insert-queue-before lease-script " +
		"parent-queue relay server-address support-broadband-tr101 use-framed-as-classless use-radius use-reconfigure"),
	"/ip/dhcp-server/network": words("caps-manager dhcp-option dhcp-option-set dns-none netmask ntp-none ntp-server wins-server"),
	"/ip/dhcp-server/lease": words("address-lists agent-circuit-id agent-remote-id allow-dual-stack-queue always-broadcast block-access client-id dhcp-option " +
		"dhcp-option-set insert-queue-before lease-time parent-queue queue-type rate-limit routes use-src-mac"),
	"/ip/dhcp-relay": words("add-relay-info delay-threshold dhcp-server-vrf local-address-as-src-ip relay-info-remote-id"),
	"/ip/dns/static": words("address-list forward-to match-subdomain mx-exchange mx-preference ns regexp srv-port srv-priority srv-target srv-weight text " +
		"ttl"),
	"/routing/bgp/instance": words("cluster-id ignore-as-path-len multipath routing-table vrf"),
	"/routing/bgp/connection": words("add-path-out address-families afi cisco-vpls-nlri-len-fmt cluster-id connect input.accept-communities " +
		"input.accept-ext-communities input.accept-large-communities input.accept-nlri input.accept-unknown input.add-path " +
		"input.affinity input.allow-as input.attr-error-handling input.filter input.filter-communities input.filter-ext-communities " +
		"input.filter-large-communities input.filter-nlri input.filter-unknown input.ignore-as-path-len input.limit-process-routes-ipv4 " +
		"input.limit-process-routes-ipv6 listen local.address local.port local.ttl multihop nexthop-choice output.add-path " +
		"output.affinity output.as-override output.default-prepend output.filter-chain output.filter-select output.keep-sent-attributes " +
		"output.network output.network-blackhole output.no-client-to-client-reflection output.no-early-cut output.remove-private-as " +
		"remote.allowed-as remote.port remote.ttl routing-table save-to templates use-bfd vrf"),
	"/ip/firewall/filter": words("address-list address-list-timeout connection-bytes connection-limit connection-mark connection-nat-state connection-rate " +
		"connection-type content dscp dst-address-list dst-address-type dst-limit fragment hotspot hw-offload icmp-options " +
		"in-bridge-port in-bridge-port-list in-interface-list ingress-priority ipsec-policy ipv4-options jump-target layer7-protocol " +
		"limit nth out-bridge-port out-bridge-port-list out-interface-list p2p packet-mark packet-size per-connection-classifier port " +
		"priority psd random realm routing-mark src-address-list src-address-type src-mac-address tcp-flags tcp-mss time tls-host tos " +
		"ttl"),
	"/ip/firewall/nat": words("address-list address-list-timeout connection-bytes connection-limit connection-mark connection-rate connection-type content " +
		"dscp dst-address-list dst-address-type dst-limit fragment hotspot icmp-options in-bridge-port in-bridge-port-list " +
		"in-interface-list ingress-priority ipsec-policy ipv4-options jump-target layer7-protocol limit nth out-bridge-port " +
		"out-bridge-port-list out-interface-list packet-mark packet-size per-connection-classifier port priority psd random " +
		"randomise-ports realm routing-mark same-not-by-dst socks5-port socks5-server socksify-service src-address-list " +
		"src-address-type src-mac-address tcp-mss time tos ttl"),
}
