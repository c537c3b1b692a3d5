#!/bin/sh
# Stands in for ISC's dhclient: asks on all interfaces, and holds the lease of the
# first that gets one. The DHCP client calls it with what has happened.
# shellcheck disable=SC2154 # its variables come from there
case ${1-} in
deconfig) ifconfig "$interface" 0.0.0.0 ;;
bound | renew)
	ifconfig "$interface" "$ip" netmask "$subnet"
	[ -z "${router-}" ] || route add default gw "${router%% *}" dev "$interface" 2>/dev/null
	;;
'')
	for each in /sys/class/net/*; do
		name=${each##*/}
		ip link set "$name" up
		[ ! -e "$each/device" ] || udhcpc -t 20 -T 1 -b -i "$name" -s /usr/bin/dhclient
	done
	;;
esac
