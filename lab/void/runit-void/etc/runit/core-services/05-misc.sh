# shellcheck shell=sh
msg "Setting up loopback, host name and clock"
ip link set up dev lo
[ -r /etc/hostname ] && read -r HOSTNAME </etc/hostname
[ -n "$HOSTNAME" ] && printf '%s' "$HOSTNAME" >/proc/sys/kernel/hostname
[ -n "$TIMEZONE" ] && [ -e "/usr/share/zoneinfo/$TIMEZONE" ] && ln -sf "/usr/share/zoneinfo/$TIMEZONE" /etc/localtime
if [ -f /var/lib/random-seed ]; then
	cat /var/lib/random-seed >/dev/urandom
fi
[ -d /etc/sysctl.d ] && sysctl -q -p /etc/sysctl.d/*.conf 2>/dev/null
: >/run/utmp
