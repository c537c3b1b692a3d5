# shellcheck shell=sh
msg "Sending TERM, then KILL to what is left"
# -1 means everyone but init and this shell's session.
kill -TERM -1 2>/dev/null
sleep 0.2
kill -KILL -1 2>/dev/null
