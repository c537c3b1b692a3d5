
# Nothing is to be installed here.
printf 'provision: nothing is to be installed on this machine: %s\n' @WHY@
echo 'provision: it restarts, and boots from its disk'
sleep 5 || :
provision_restart
