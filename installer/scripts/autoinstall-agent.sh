
# provision's agent takes the machine over.
provision_agent=@BINARY@

provision_fetch() {
	rm -f "$provision_agent"
	xbps-uhelper fetch @AGENT@">$provision_agent" && [ "$(xbps-uhelper digest "$provision_agent")" = @SHA256@ ]
}

provision_carry() {
	mkdir -p /usr/libexec &&
		printf %s @OVERLAY@ >@OVERLAYFILE@ &&
		printf %s @CA@ >@CAFILE@ || return 1
	for provision_pause in 1 2 4 8 0; do
		if provision_fetch; then
			chmod 0755 "$provision_agent" && "$provision_agent" @CARRIED@
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
