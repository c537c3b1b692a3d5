# The configuration of void-mklive's autoinstaller on node1. The init of its NETBOOT
# image sources it, under "set -e", before anything is written to a disk. Init
# must not end, for the kernel would panic; and upstream must not choose a disk:
# for it there is none.
disk=''

mkdir -p /etc/provision || :

# What is asked of and told to the appliance is public; the answer is in a file.
provision_answer=/etc/provision/answer
provision_ask() {
	rm -f "$provision_answer"
	xbps-uhelper fetch 'http://10.77.0.1/autoinstall/52-54-00-12-34-56'"/$1>$provision_answer" >/dev/null 2>&1
}

provision_restart() {
	set +e
	while :; do
		sync
		reboot -f
		echo b >/proc/sysrq-trigger
		sleep 10
	done
}

# Never returns: a shell for whoever is at the console, whose end restarts the
# machine.
provision_stay() {
	set +e
	trap - 0
	echo "provision: NOT installed: $1"
	echo 'provision: here is a shell; its end restarts the machine'
	sh <>/dev/console >&0 2>&0
	sleep 15
	provision_restart
}

# provision's agent takes the machine over.
provision_agent='/usr/libexec/provision-agent'

provision_fetch() {
	rm -f "$provision_agent"
	xbps-uhelper fetch 'http://10.77.0.1/image/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/provision-agent'">$provision_agent" && [ "$(xbps-uhelper digest "$provision_agent")" = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' ]
}

provision_carry() {
	mkdir -p /usr/libexec &&
		printf %s '{"url":"https://10.77.0.1","http":"http://10.77.0.1"}' >'/etc/provision/agent.json' &&
		printf %s '-----BEGIN CERTIFICATE-----
it'\''s public
-----END CERTIFICATE-----
' >'/etc/provision/ca.pem' || return 1
	for provision_pause in 1 2 4 8 0; do
		if provision_fetch; then
			chmod 0755 "$provision_agent" && "$provision_agent" 'carried'
			return
		fi
		sleep "$provision_pause"
	done
	provision_ask 'failed?step=agent&reason=the+agent+could+not+be+fetched,+or+is+not+the+one+that+was+meant'
	return 1
}

# In a condition no failing command ends the shell.
if provision_carry; then
	provision_restart
fi
provision_stay 'the agent has not done its work; what it said is above'
