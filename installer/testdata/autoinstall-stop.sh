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

# Nothing is to be installed here.
printf 'provision: nothing is to be installed on this machine: %s\n' 'the host is Ready; it'\''s installed'
echo 'provision: it restarts, and boots from its disk'
sleep 5 || :
provision_restart
