# The configuration of void-mklive's autoinstaller on @HOST@. The init of its NETBOOT
# image sources it, under "set -e", before anything is written to a disk. Init
# must not end, for the kernel would panic; and upstream must not choose a disk:
# for it there is none.
disk=''

mkdir -p /etc/provision || :

# What is asked of and told to the appliance is public; the answer is in a file.
provision_answer=/etc/provision/answer
provision_ask() {
	rm -f "$provision_answer"
	xbps-uhelper fetch @URL@"/$1>$provision_answer" >/dev/null 2>&1
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
