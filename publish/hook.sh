#!/bin/sh
# Made by "provision config hook": publishes the branch that was pushed. Put it
# into the bare repository as hooks/post-receive and make it executable.
#
# Git has taken the push by then: what fails here can be repeated with
#   provision config publish REPOSITORY --revision BRANCH
set -eu

branch=@BRANCH@
ref="refs/heads/$branch"

pushed=
while read -r _ new name; do
	case $new in *[!0]*) ;; *) continue ;; esac # the branch was removed
	if [ "$name" = "$ref" ]; then pushed=yes; fi
done
if [ -z "$pushed" ]; then
	exit 0
fi

# One at a time, and always what the branch is now: of two pushes, the second one
# stays.
repository=$(pwd)
exec 9>"$repository/provision.lock"
flock 9
exec @COMMAND@ "$repository" --revision "$ref"
